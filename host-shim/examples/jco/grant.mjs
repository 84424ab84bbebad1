// The calls of codex that the configuration allows; host-shim/src/grant.rs says why they are these. The component
// is not trusted with this: whatever it asks for, the host starts one of these or nothing.

const SANDBOX_FLAGS = {
  'danger-full-access': ['--dangerously-bypass-approvals-and-sandbox'],
  'workspace-write': ['-c', 'sandbox_mode="workspace-write"'],
  'read-only': ['-c', 'sandbox_mode="read-only"'],
};

// Codex takes anything else for a name, and silently begins another thread.
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export const isThreadId = (text) => UUID.test(text);

/**
 * Whether `args` may be given to codex. `settings` is what the component gets too, `stored` the thread id that
 * the session held when the turn began.
 */
export function allows(args, promptOnStdin, settings, stored) {
  // The prompt may be anything, but `-` is codex's word for standard input.
  const prompt = args.at(-1);
  if ((prompt === '-') !== (promptOnStdin !== undefined)) return false;
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
      '--',
      prompt,
    ]),
  );
  const same = (call) => call.length === args.length && call.every((word, at) => word === args[at]);
  return allowed.some(same);
}
