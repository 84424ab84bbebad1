// The official SDK: @openai/codex-sdk.

import { Codex } from '@openai/codex-sdk';
import { serve } from './side.mjs';

await serve((codexPathOverride) => {
  const codex = new Codex({ codexPathOverride });
  const start = (workingDirectory) =>
    codex.startThread({
      workingDirectory,
      skipGitRepoCheck: true,
      sandboxMode: 'danger-full-access',
      approvalPolicy: 'never',
    });
  // One conversation for each folder.
  const threads = new Map();
  return async (folder, prompt, saw) => {
    if (!threads.has(folder)) threads.set(folder, start(folder));
    const { events } = await threads.get(folder).runStreamed(prompt);
    for await (const event of events) {
      const answers = event.type === 'item.completed' && event.item.type === 'agent_message';
      saw(event, answers ? event.item.text : undefined);
    }
  };
});
