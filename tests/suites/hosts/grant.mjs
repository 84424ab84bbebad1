// node grant.mjs HOST < BATCHES
//
// BATCHES is a JSON array of { calls, prompt_on_stdin, settings, stored, parts }, of which `calls` has the arguments of
// each call. Prints a JSON array that says for each call, in order, whether the host in the folder HOST would start codex
// with it.

import { text } from 'node:stream/consumers';
import { argv, stdin } from 'node:process';

const { check } = await import(`${argv[2]}/grant.mjs`);
const batches = JSON.parse(await text(stdin));
const answers = batches.flatMap(({ calls, prompt_on_stdin, settings, stored, parts }) =>
  calls.map((args) => check(args, prompt_on_stdin ? 'prompt' : undefined, settings, stored ?? undefined, parts) !== undefined),
);
console.log(JSON.stringify(answers));
