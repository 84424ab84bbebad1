/* A codex that answers at once: what is left of a turn's time is the wrapper's.
 *
 * It takes every argument, because each wrapper words them in its own way, and reads standard input
 * to its end as the real one does. It writes a line at a time, as the real one does too.
 *
 * As `app-server` it answers one request a line, with what a wrapper needs of the answers, and records which turns there
 * were: without a record of its thread this project would start it again for each turn.
 *
 *     cc -O2 -static -o fake-codex fake-codex.c
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print(const char *text)
{
    size_t length = strlen(text);
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, text, length);
        if (written <= 0)
            _exit(101);
        text += written;
        length -= (size_t)written;
    }
}

/* The text behind a key, up to the next quote; empty if there is none. */
static void text_of(const char *line, const char *key, char *text, size_t size)
{
    const char *found = strstr(line, key);
    text[0] = 0;
    if (found)
        snprintf(text, size, "%.*s", (int)strcspn(found + strlen(key), "\""), found + strlen(key));
}

static void record(const char *path, const char *turn)
{
    char line[160];
    int length = snprintf(line, sizeof line, "{\"type\":\"turn_context\",\"payload\":{\"turn_id\":\"%s\"}}\n", turn);
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || write(file, line, (size_t)length) != length)
        _exit(101);
    close(file);
}

static int serve(void)
{
    static char line[1 << 20], said[8192];
    char folder[1024], thread[64], method[64], path[2048] = "";
    unsigned turns = 0;

    if (!getcwd(folder, sizeof folder))
        return 101;
    while (fgets(line, sizeof line, stdin)) {
        const char *found = strstr(line, "\"id\":");
        long id = found ? atol(found + 5) : 0;
        text_of(line, "\"method\":\"", method, sizeof method);
        if (!found || !method[0])
            continue;
        if (strcmp(method, "initialize") == 0) {
            snprintf(said, sizeof said, "{\"id\":%ld,\"result\":{\"userAgent\":\"x/0.169.0\"}}\n", id);
        } else if (strcmp(method, "thread/start") == 0 || strcmp(method, "thread/resume") == 0) {
            text_of(line, "\"threadId\":\"", thread, sizeof thread);
            if (!thread[0])
                snprintf(thread, sizeof thread, "01a2b3c4-0000-7000-8000-%012x", (unsigned)getpid());
            snprintf(path, sizeof path, "%s/.fake-codex-rollout-%s.jsonl", folder, thread);
            snprintf(said, sizeof said,
                     "{\"id\":%ld,\"result\":{\"thread\":{\"id\":\"%s\",\"path\":\"%s\"},\"model\":\"gpt-5.5\",\"cwd\":\"%s\","
                     "\"approvalPolicy\":\"never\",\"sandbox\":{\"type\":\"dangerFullAccess\"}}}\n",
                     id, thread, path, folder);
        } else if (strcmp(method, "turn/start") == 0) {
            char turn[64], both[160];
            snprintf(turn, sizeof turn, "01a2b3c5-0000-7000-8000-%012x", ++turns);
            text_of(line, "\"threadId\":\"", thread, sizeof thread);
            record(path, turn);
            snprintf(both, sizeof both, "\"threadId\":\"%s\",\"turnId\":\"%s\"", thread, turn);
            snprintf(said, sizeof said,
                     "{\"id\":%ld,\"result\":{\"turn\":{\"id\":\"%s\"}}}\n"
                     "{\"method\":\"turn/started\",\"params\":{\"threadId\":\"%s\",\"turn\":{\"id\":\"%s\"}}}\n"
                     "{\"method\":\"item/agentMessage/delta\",\"params\":{%s,\"itemId\":\"m\",\"delta\":\"echo: hello\"}}\n"
                     "{\"method\":\"item/completed\",\"params\":{\"item\":{\"type\":\"agentMessage\",\"id\":\"m\","
                     "\"text\":\"echo: hello\"},%s}}\n"
                     "{\"method\":\"turn/completed\",\"params\":{\"threadId\":\"%s\",\"turn\":{\"id\":\"%s\","
                     "\"status\":\"completed\"}}}\n",
                     id, turn, thread, turn, both, both, thread, turn);
        } else {
            snprintf(said, sizeof said, "{\"id\":%ld,\"error\":{\"code\":-32600,\"message\":\"unknown variant\"}}\n", id);
        }
        print(said);
    }
    return 0;
}

int main(int argc, char **argv)
{
    char input[4096], first[128];

    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        print("codex-cli 0.169.0\n");
        return 0;
    }
    if (argc >= 2 && strcmp(argv[1], "app-server") == 0)
        return serve();
    while (read(STDIN_FILENO, input, sizeof input) > 0)
        ;
    /* A thread id has to be a UUID, and no two threads may share one. */
    char thread[64];
    snprintf(thread, sizeof thread, "01a2b3c4-0000-7000-8000-%012x", (unsigned)getpid());
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "resume") == 0)
            snprintf(thread, sizeof thread, "%s", argv[i + 1]);
    snprintf(first, sizeof first, "{\"type\":\"thread.started\",\"thread_id\":\"%s\"}\n", thread);
    print(first);
    print("{\"type\":\"turn.started\"}\n");
    print("{\"type\":\"item.completed\",\"item\":{\"id\":\"item_0\",\"type\":\"agent_message\","
          "\"text\":\"echo: hello\"}}\n");
    print("{\"type\":\"turn.completed\",\"usage\":{\"input_tokens\":1200,\"cached_input_tokens\":1000,"
          "\"cache_write_input_tokens\":0,\"output_tokens\":34,\"reasoning_output_tokens\":7}}\n");
    return 0;
}
