// The AI SDK with its community provider: ai-sdk-provider-codex-cli, in the mode that keeps `codex app-server`.

import { streamText } from 'ai';
import { createCodexAppServer } from 'ai-sdk-provider-codex-cli';
import { serve } from './side.mjs';

let provider;
// One conversation for each folder.
const models = new Map();

await serve((codexPath) => {
  const defaultSettings = {
    codexPath,
    threadMode: 'persistent',
    approvalPolicy: 'never',
    sandboxPolicy: { type: 'dangerFullAccess' },
  };
  provider = createCodexAppServer({ defaultSettings });
  return async (cwd, prompt, saw) => {
    if (!models.has(cwd)) models.set(cwd, provider('gpt-5.5', { cwd }));
    for await (const part of streamText({ model: models.get(cwd), prompt, maxRetries: 0 }).fullStream) {
      if (part.type === 'error') throw part.error;
      saw(part, part.type === 'text-delta' ? part.text : undefined);
    }
  };
});
await provider.close();
