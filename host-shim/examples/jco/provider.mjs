// The component, loaded once, and the turns that are made with it. Start reading here.
//
// Left to you: images in the request, limits on what the component computes and keeps in memory and on how much codex
// prints, tools that have left codex's process group, a record of the calls. The imports are the whole of what the component can do, so this folder shows all of it.

import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { Codex, failed } from './codex.mjs';
import { Session, lock } from './session.mjs';

/** The keys of config.json that this host knows; README.md says what they mean. */
const DEFAULTS = {
  $schema: undefined, // For editors.
  binary: undefined,
  extra_args: [],
  supported_models: ['codex'],
  model_args: {},
  prompt: 'automatic',
  sandbox: 'danger-full-access',
  lost_session: 'replay',
  limits: {
    start_seconds: 60,
    idle_seconds: 1800,
    tool_idle_seconds: 7200,
    turn_seconds: 21600,
    busy_seconds: 30,
    end_seconds: 10,
    grace_seconds: 3,
  },
};

/** Reads the operator's file. A key that it does not know is an error: it might have been a restriction. */
export function readConfig(path) {
  const given = JSON.parse(readFileSync(path, 'utf8'));
  const config = { ...DEFAULTS, ...given, limits: { ...DEFAULTS.limits, ...given.limits } };
  const unknown = [
    ...Object.keys(config).filter((key) => !(key in DEFAULTS)),
    ...Object.keys(config.limits).filter((key) => !(key in DEFAULTS.limits)),
  ];
  if (unknown.length > 0) throw new Error(`${path}: this host does not know ${unknown.join(', ')}`);
  if (!config.binary?.startsWith('/')) throw new Error(`${path}: \`binary\` must be the absolute path of codex`);
  return config;
}

/** Compiles a transpiled component, once a process. Returns what makes an instance of it for a turn. */
export async function load(folder) {
  if (typeof WebAssembly.promising !== 'function') {
    throw new Error(`Node.js ${process.version} cannot suspend WebAssembly: use 25 or newer, or 24 with --experimental-wasm-jspi`);
  }
  const modules = new Map();
  for (const name of readdirSync(folder).filter((name) => name.endsWith('.wasm'))) {
    modules.set(name, await WebAssembly.compile(readFileSync(join(folder, name))));
  }
  const { instantiate } = await import(pathToFileURL(resolve(folder, 'provider.js')));
  return (imports) => instantiate((name) => modules.get(name), imports);
}

/**
 * Runs a turn in `workspace` and yields its events, in the form of the contract: `{ tag, val }`. The last is
 * `message-end`, whatever happens. `request` is that of the contract; aborting `signal` cancels the turn.
 */
export async function* turn(instantiate, config, workspace, request, signal) {
  let ended = false;
  try {
    for await (const event of events(instantiate, config, workspace, request, signal)) {
      ended = event.tag === 'message-end';
      yield event;
      if (ended) return;
    }
    throw new Error('the component ended the turn without saying how');
  } catch (error) {
    // The error of `turn.start` is a failure; anything else is a defect, such as a trap.
    if (!ended) yield end(error.payload ?? { kind: 'internal', message: `The turn broke off: ${error.message}`, retryable: false });
  }
}

async function* events(instantiate, config, workspace, request, signal) {
  const { busy_seconds } = config.limits;
  const unlock = await lock(workspace, busy_seconds);
  if (unlock === undefined) {
    const message = `Another turn has been running in this workspace for more than ${busy_seconds} s. Wait for it to end.`;
    throw failed({ kind: 'session-busy', message, retryable: true });
  }
  const session = new Session(workspace);
  const settings = settingsOf(config);
  let codex;
  const cancel = () => codex.stop('cancelled');
  try {
    codex = new Codex(config, settings, workspace, storedThread(session));
    signal?.addEventListener('abort', cancel);
    if (signal?.aborted) cancel();
    // A trap leaves an instance unusable, so each turn has its own.
    const { provider } = await instantiate({
      'plexum:provider/codex': codex.imports(),
      'plexum:provider/session': sessionImports(session, codex),
      'plexum:provider/settings': { get: () => settings },
      'plexum:provider/log': { write },
    });
    const turn = provider.Turn.start(request);
    for (let batch = await turn.next(); batch.length > 0; batch = await turn.next()) yield* batch;
  } finally {
    // Also when nobody wants more events. The workspace stays locked until codex is gone.
    signal?.removeEventListener('abort', cancel);
    await codex?.close();
    unlock();
  }
}

/** What the grant goes by: what is stored now, not what the component will store. */
function storedThread(session) {
  try {
    return session.load()?.threadId;
  } catch (error) {
    const message = `The session cannot be used: ${error.message}.`;
    throw failed({ kind: 'session-unreadable', message, retryable: false });
  }
}

const end = (failure) => ({ tag: 'message-end', val: { stopReason: 'error', failure } });

/** The interface `session`. The component may have kept what codex said, and not what it likes. */
function sessionImports(session, codex) {
  const orMessage = (work) => {
    try {
      return work();
    } catch (error) {
      throw failed(error.message);
    }
  };
  return {
    load: () => orMessage(() => session.load()),
    save: (entry) =>
      orMessage(() => {
        if (!codex.knows(entry.threadId)) throw new Error('codex did not name this thread, so it is not kept');
        session.save(entry);
      }),
    setAside: () => orMessage(() => session.setAside()),
  };
}

function settingsOf(config) {
  const args = (id) => config.model_args[id] ?? (id === 'codex' ? [] : ['--model', id]);
  return {
    models: config.supported_models.map((id) => ({ id, args: args(id) })),
    extraArgs: config.extra_args,
    sandbox: config.sandbox,
    prompt: config.prompt,
    lostSession: config.lost_session,
  };
}

/** The interface `log`. Below `warn` it may hold text of the conversation. */
function write(level, message) {
  if (level === 'warn' || level === 'error') process.stderr.write(`${level}: ${message}\n`);
}
