// A host of the provider component in Node.js: what the Rust host does, in the least that is complete.
//
//   node host.mjs --component FOLDER --config config.json [--workspace DIR] PROMPT
//
// FOLDER is what transpile.mjs made. Standard output and exit codes are those of `plexum-openai-provider say --json`.

import { resolve } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { line } from './event.mjs';
import { load, readConfig, turn } from './provider.mjs';

const OPTIONS = { component: { type: 'string' }, config: { type: 'string' }, workspace: { type: 'string', default: '.' } };

/** Runs one turn. Returns the exit code: 0 it completed, 1 it failed, 130 or 143 a signal stopped it. */
async function say() {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: OPTIONS });
  const [prompt] = positionals;
  if (!values.component || !values.config || prompt === undefined) {
    throw new Error('usage: node host.mjs --component FOLDER --config FILE [--workspace DIR] PROMPT');
  }
  const instantiate = await load(values.component);
  const config = readConfig(values.config);
  const request = { messages: [{ role: 'user', content: [{ tag: 'text', val: prompt }] }] };

  let stoppedBy;
  const cancelled = new AbortController();
  for (const [name, code] of [['SIGINT', 130], ['SIGTERM', 143]]) {
    process.on(name, () => {
      stoppedBy ??= code;
      cancelled.abort();
    });
  }
  let code = 1;
  for await (const event of turn(instantiate, config, resolve(values.workspace), request, cancelled.signal)) {
    process.stdout.write(`${line(event)}\n`);
    if (event.tag === 'message-end' && event.val.stopReason === 'end-turn') code = 0;
  }
  return stoppedBy ?? code;
}

try {
  process.exitCode = await say();
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 2;
}
