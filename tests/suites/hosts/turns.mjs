// node turns.mjs HOST COMPONENT CONFIG (WORKSPACE STATE_HOME)…
//
// Says `hello` in each workspace with the host in the folder HOST, several at once, and leaves the events in
// WORKSPACE/events.jsonl.

import { writeFile } from 'node:fs/promises';
import { argv, env } from 'node:process';

const AT_ONCE = 8;

const [host, component, configFile, ...rest] = argv.slice(2);
const { load, readConfig, turn } = await import(`${host}/provider.mjs`);
const { line } = await import(`${host}/event.mjs`);

const instantiate = await load(component);
const config = readConfig(configFile);
const request = { messages: [{ role: 'user', content: [{ tag: 'text', val: 'hello' }] }], options: {} };

async function worker() {
  while (rest.length > 0) {
    const [workspace, stateHome] = rest.splice(0, 2);
    let lines = '';
    // Read as soon as the turn begins, before another one can.
    env.XDG_STATE_HOME = stateHome;
    for await (const event of turn(instantiate, config, workspace, request)) lines += `${line(event)}\n`;
    await writeFile(`${workspace}/events.jsonl`, lines);
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, worker));
