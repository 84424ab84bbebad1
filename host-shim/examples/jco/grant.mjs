// The calls of codex that the configuration allows; host-shim/src/grant/argv.rs says why they are these. The component
// is not trusted with this: whatever it asks for, the host starts one of these or nothing.

/** The longest single argument that Linux takes, in bytes. */
export const MAX_ARGUMENT_BYTES = 131_071;

const SANDBOX_FLAGS = {
  'danger-full-access': ['--dangerously-bypass-approvals-and-sandbox'],
  'workspace-write': ['-c', 'sandbox_mode="workspace-write"'],
  'read-only': ['-c', 'sandbox_mode="read-only"'],
};

/** The words that stand for a part of the request, each after its flag, in the order in which they stand in a call. */
const REQUEST_WORDS = [
  ['instructions', '-c', 'developer_instructions=request:instructions'],
  ['effort', '-c', 'model_reasoning_effort=request:effort'],
  ['outputSchema', '--output-schema', 'request:output-schema'],
];

// Codex takes anything else for a name, and silently begins another thread.
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export const isThreadId = (text) => UUID.test(text);

/**
 * Checks whether `args` may be given to codex. `settings` is what the component gets too, `stored` the thread id that
 * the session held when the turn began, and `parts` has the parts of the request that may be handed over.
 *
 * Returns where words stand for parts, as pairs of an index and the name of a part; nothing if the call is not allowed.
 */
export function check(args, promptOnStdin, settings, stored, parts) {
  if (args.some((arg) => Buffer.byteLength(arg) > MAX_ARGUMENT_BYTES || arg.includes('\0'))) return undefined;
  // The prompt may be anything, but `-` is codex's word for standard input.
  if ((args.at(-1) === '-') !== (promptOnStdin !== undefined)) return undefined;
  if (args.at(-2) !== '--') return undefined;
  const words = requestWords(args, parts);
  const before = args.slice(0, -2 - 2 * words.length);
  const threads = stored !== undefined && isThreadId(stored) ? [[], ['resume', stored]] : [[]];
  const allowed = threads.flatMap((thread) =>
    settings.models.map((model) => [
      'exec',
      ...thread,
      '--skip-git-repo-check',
      ...SANDBOX_FLAGS[settings.sandbox],
      '--json',
      ...model.args,
      ...settings.extraArgs,
    ]),
  );
  const same = (call) => call.length === before.length && call.every((word, at) => word === before[at]);
  return allowed.some(same) ? words : undefined;
}

/** The words before `--` that stand for parts of the request: each part that there is, at most once. */
function requestWords(args, parts) {
  const words = [];
  let end = args.length - 2;
  for (const [part, flag, word] of REQUEST_WORDS.toReversed()) {
    if (parts[part] === undefined || args[end - 2] !== flag || args[end - 1] !== word) continue;
    words.push([end - 1, part]);
    end -= 2;
  }
  return words;
}
