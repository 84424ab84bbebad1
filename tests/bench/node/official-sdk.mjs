// The official SDK: @openai/codex-sdk.

import { Codex } from '@openai/codex-sdk';
import { serve } from './side.mjs';

await serve((codexPathOverride) => {
  const codex = new Codex({ codexPathOverride });
  return async (workingDirectory, prompt, saw) => {
    const thread = codex.startThread({
      workingDirectory,
      skipGitRepoCheck: true,
      sandboxMode: 'danger-full-access',
      approvalPolicy: 'never',
    });
    const { events } = await thread.runStreamed(prompt);
    for await (const event of events) {
      const answers = event.type === 'item.completed' && event.item.type === 'agent_message';
      saw(event, answers ? event.item.text : undefined);
    }
  };
});
