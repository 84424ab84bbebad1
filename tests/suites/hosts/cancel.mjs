// node cancel.mjs HOST COMPONENT CONFIG WORKSPACE PROMPT
//
// Says PROMPT with the host in the folder HOST, cancels the turn at the first text of its answer, and prints the events.

import { argv } from 'node:process';

const [host, component, configFile, workspace, prompt] = argv.slice(2);
const { load, readConfig, turn } = await import(`${host}/provider.mjs`);
const { line } = await import(`${host}/event.mjs`);

const request = { messages: [{ role: 'user', content: [{ tag: 'text', val: prompt }] }], options: {} };
const cancelled = new AbortController();
for await (const event of turn(await load(component), readConfig(configFile), workspace, request, cancelled.signal)) {
  if (event.tag === 'text-delta') cancelled.abort();
  console.log(line(event));
}
