// The AI SDK with its community provider: ai-sdk-provider-codex-cli, in the mode that runs `codex exec`.

import { streamText } from 'ai';
import { createCodexExec } from 'ai-sdk-provider-codex-cli';
import { serve } from './side.mjs';

// What the AI SDK tells before it has heard of codex.
const OWN_PARTS = new Set(['start', 'start-step']);

await serve((codexPath) => {
  const provider = createCodexExec({ defaultSettings: { codexPath, dangerouslyBypassApprovalsAndSandbox: true } });
  return async (cwd, prompt, saw) => {
    // The model of the configuration. It has to be named; the other sides leave it to codex.
    const model = provider('gpt-5.5', { cwd });
    for await (const part of streamText({ model, prompt, maxRetries: 0 }).fullStream) {
      if (part.type === 'error') throw part.error;
      if (!OWN_PARTS.has(part.type)) saw(part, part.type === 'text-delta' ? part.text : undefined);
    }
  };
});
