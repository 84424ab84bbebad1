// node turns.mjs HOST COMPONENT CONFIG WORKSPACE…
//
// Says `hello` in each workspace with the host in the folder HOST, several at once, and leaves the events in
// WORKSPACE/events.jsonl.

import { writeFile } from 'node:fs/promises';
import { argv } from 'node:process';

const AT_ONCE = 8;

const [host, component, configFile, ...workspaces] = argv.slice(2);
const { load, readConfig, turn } = await import(`${host}/provider.mjs`);
const { line } = await import(`${host}/event.mjs`);

const instantiate = await load(component);
const config = readConfig(configFile);
const request = { messages: [{ role: 'user', content: [{ tag: 'text', val: 'hello' }] }], options: {} };

async function worker() {
  for (let workspace = workspaces.pop(); workspace !== undefined; workspace = workspaces.pop()) {
    let lines = '';
    for await (const event of turn(instantiate, config, workspace, request)) lines += `${line(event)}\n`;
    await writeFile(`${workspace}/events.jsonl`, lines);
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, worker));
