// node grant.mjs HOST < CASES
//
// CASES is a JSON array of { args, prompt_on_stdin, settings, stored }. Prints a JSON array that says for each
// whether the host in the folder HOST would start codex with it.

import { text } from 'node:stream/consumers';
import { argv, stdin } from 'node:process';

const { allows } = await import(`${argv[2]}/grant.mjs`);
const cases = JSON.parse(await text(stdin));
const answers = cases.map(({ args, prompt_on_stdin, settings, stored }) =>
  allows(args, prompt_on_stdin ? 'prompt' : undefined, settings, stored ?? undefined),
);
console.log(JSON.stringify(answers));
