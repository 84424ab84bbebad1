// A host of the provider component in Node.js: what the Rust host does, in the least that is complete.
//
//   node host.mjs --component FOLDER --config config.json [--workspace DIR] [--session NAME] [--instructions TEXT]
//     [--effort LEVEL] [--output-schema FILE] PROMPT
//
// FOLDER is what transpile.mjs made. The other options, standard output and exit codes are those of
// `plexum-openai-provider say --json`.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { line } from './event.mjs';
import { load, readConfig, turn } from './provider.mjs';

const OPTIONS = {
  component: { type: 'string' },
  config: { type: 'string' },
  workspace: { type: 'string', default: '.' },
  session: { type: 'string' },
  instructions: { type: 'string' },
  effort: { type: 'string' },
  'output-schema': { type: 'string' },
};

/** Runs one turn. Returns the exit code: 0 it completed, 1 it failed, 130 or 143 a signal stopped it. */
async function say() {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: OPTIONS });
  const [prompt] = positionals;
  if (!values.component || !values.config || prompt === undefined) {
    throw new Error('usage: node host.mjs --component FOLDER --config FILE [OPTION…] PROMPT');
  }
  const instantiate = await load(values.component);
  const config = readConfig(values.config);
  const { session, instructions, effort, 'output-schema': schema } = values;
  const request = {
    session,
    instructions,
    messages: [{ role: 'user', content: [{ tag: 'text', val: prompt }] }],
    options: { effort, outputSchema: schema === undefined ? undefined : json(schema) },
  };

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

/** The text of a file, which must be JSON. */
function json(path) {
  const text = readFileSync(path, 'utf8');
  try {
    JSON.parse(text);
  } catch (error) {
    throw new Error(`the output schema ${path} is not JSON: ${error.message}`);
  }
  return text;
}

try {
  process.exitCode = await say();
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 2;
}
