// A client made with the SDK of the protocol's authors: library.mjs COMMAND… CWD, which ends with what it saw as JSON.

import { spawn } from 'node:child_process';
import { Readable, Writable } from 'node:stream';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.env.MODULES + '/');
const acp = await import(pathToFileURL(require.resolve('@agentclientprotocol/sdk')));

const words = process.argv.slice(2);
const cwd = words.pop();

/** Starts the agent, has `work` use it, and returns when the agent has ended. */
async function withAgent(work) {
  const agent = spawn(words[0], words.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => agent.on('exit', resolve));
  const updates = [];
  const app = acp
    .client({ name: 'library' })
    .onNotification('session/update', (context) => void updates.push(context.params.update));
  const stream = acp.ndJsonStream(Writable.toWeb(agent.stdin), Readable.toWeb(agent.stdout));
  await app.connectWith(stream, (context) => work(context, updates));
  agent.stdin.end();
  return ended;
}

const initialize = (context) =>
  context.request('initialize', {
    protocolVersion: acp.PROTOCOL_VERSION,
    clientCapabilities: { session: { notices: {} } },
  });
const text = (updates) =>
  updates
    .splice(0)
    .filter((update) => update.sessionUpdate === 'agent_message_chunk')
    .map((update) => update.content.text)
    .join('');
const prompt = (context, sessionId, said) =>
  context.request('session/prompt', { sessionId, prompt: [{ type: 'text', text: said }] });

const seen = {};
let sessionId;
seen.exits = [
  await withAgent(async (context, updates) => {
    seen.initialized = await initialize(context);
    ({ sessionId } = await context.request('session/new', { cwd, mcpServers: [] }));
    seen.first = await prompt(context, sessionId, 'my name is Ada');
    seen.firstText = text(updates);
    const running = prompt(context, sessionId, 'mock:shell=sleep 300');
    while (!updates.some((update) => update.sessionUpdate === 'tool_call')) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await context.notify('session/cancel', { sessionId });
    seen.cancelled = await running;
    try {
      await prompt(context, sessionId, 'mock:e401');
    } catch (error) {
      seen.failure = { code: error.code, message: error.message, data: error.data };
    }
  }),
  await withAgent(async (context, updates) => {
    await initialize(context);
    seen.resumed = await context.request('session/resume', { sessionId, cwd, mcpServers: [] });
    updates.splice(0);
    await prompt(context, sessionId, 'mock:history');
    seen.history = text(updates);
    seen.listed = await context.request('session/list', { cwd });
    seen.closed = await context.request('session/close', { sessionId });
  }),
];
seen.sessionId = sessionId;
console.log(JSON.stringify(seen));
