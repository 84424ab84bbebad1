// A runtime that is not Rust, in small: JSON-RPC by a library, lines by Node.js itself.
//
//   node client.js PLAN.json
//
// Plan: { command, schema, garbage, turns: [{ params, cancelAt }] }. Starts the command, begins all turns at
// once with some garbage in between, cancels a turn when it says `cancelAt`, and shuts down when all have
// ended. Prints { answers, errors, events, metrics, exit } as JSON: what each turn/start and turn/cancel was answered,
// the errors that had no id, the events by turn id, the counters after the last turn, and the exit code.

const { spawn } = require("node:child_process");
const { once } = require("node:events");
const { readFileSync } = require("node:fs");
const { createInterface } = require("node:readline");
const { JSONRPCClient, JSONRPCServer, JSONRPCServerAndClient } = require("json-rpc-2.0");
const { validator } = require("./schema.js");

async function main(plan) {
  const valid = validator(plan.schema);
  const server = spawn(plan.command[0], plan.command.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
  const exit = once(server, "exit");
  const send = (line) => server.stdin.write(`${line}\n`);

  const rpc = new JSONRPCServerAndClient(
    new JSONRPCServer(),
    new JSONRPCClient((message) => {
      valid("client_message", message);
      send(JSON.stringify(message));
    }),
  );
  const answers = [];
  const errors = [];
  const events = {};
  const watchers = new Map();
  rpc.addMethod("turn/event", ({ turnId, event }) => {
    (events[turnId] ??= []).push(event);
    watchers.get(turnId)?.(event);
    // What comes before the answer to turn/start has no watcher: that must not be.
    if (!watchers.has(turnId)) throw new Error(`an event of ${turnId} came before its answer`);
  });
  createInterface({ input: server.stdout, crlfDelay: Infinity }).on("line", (line) => {
    const message = JSON.parse(line);
    valid("server_message", message);
    if (message.id === null) errors.push(message.error);
    // The library's own promises settle later; this has to be known before the next line.
    if (message.result?.turnId) watchers.set(message.result.turnId, () => {});
    rpc.receiveAndSend(message);
  });

  const { component } = await rpc.request("initialize", {
    protocolVersion: 1,
    clientInfo: { name: "tests/suites/serve/client.js" },
  });
  const { models } = await rpc.request("models/list");
  const ends = plan.turns.map(async ({ params, cancelAt }, number) => {
    if (plan.garbage.length > 0) send(plan.garbage[number % plan.garbage.length]);
    const answer = await rpc.request("turn/start", params);
    answers[number] = answer;
    const { turnId } = answer;
    const ended = new Promise((resolve) => {
      const look = (event) => {
        if (event.type === "message_end") resolve();
        if (cancelAt !== undefined && event.type === "text_delta" && event.text === cancelAt) {
          rpc.request("turn/cancel", { turnId }).then((cancelled) => (answer.cancelled = cancelled));
        }
      };
      (events[turnId] ?? []).forEach(look);
      watchers.set(turnId, look);
    });
    await ended;
  });
  await Promise.all(ends);
  const { metrics } = await rpc.request("metrics/get");
  await rpc.request("shutdown");
  const [code] = await exit;
  return { component, models, answers, errors, events, metrics, exit: code };
}

main(JSON.parse(readFileSync(process.argv[2], "utf8"))).then(
  (result) => console.log(JSON.stringify(result)),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
