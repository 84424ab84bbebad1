/* A codex that answers at once: what is left of a turn's time is the wrapper's.
 *
 * It takes every argument, because each wrapper words them in its own way, and reads standard input
 * to its end as the real one does. It writes a line at a time, as the real one does too.
 *
 *     cc -O2 -static -o fake-codex fake-codex.c
 */
#include <stdio.h>
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

int main(int argc, char **argv)
{
    char input[4096], first[128];

    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        print("codex-cli 0.169.0\n");
        return 0;
    }
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
