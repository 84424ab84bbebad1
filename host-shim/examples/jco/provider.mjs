// The component, loaded once, and the turns that are made with it. Start reading here.
//
// Left to you: images in the request, limits on what the component computes and keeps in memory and on how much codex
// prints, tools that have left codex's process group, a record of the calls. The imports are the whole of what the component can do, so this folder shows all of it.

import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { codexServer } from './codex-server.mjs';
import { Codex, failed } from './codex.mjs';
import { Handover } from './handover.mjs';
import { Session, errorOf } from './session.mjs';

/** The keys of config.json that this host knows; host-shim/docs/operator.md says what they mean. */
const DEFAULTS = {
  $schema: undefined, // For editors.
  binary: undefined,
  extra_args: [],
  supported_models: ['codex'],
  model_args: {},
  transport: 'exec',
  server: {}, // For `app-server`, which this host does not have.
  prompt: 'automatic',
  sandbox: 'danger-full-access',
  lost_session: 'replay',
  instructions: 'developer',
  changed_instructions: 'keep',
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

/** What may be said of a model in `supported_models`, where it is not only named. */
const MODEL = { id: undefined, display_name: undefined, context_window: undefined, images: true, efforts: [] };

/** Reads the operator's file. A key that it does not know is an error: it might have been a restriction. */
export function readConfig(path) {
  const given = JSON.parse(readFileSync(path, 'utf8'));
  const config = { ...DEFAULTS, ...given, limits: { ...DEFAULTS.limits, ...given.limits } };
  config.supported_models = config.supported_models.map((model) => ({
    ...MODEL,
    ...(typeof model === 'string' ? { id: model } : model),
  }));
  const unknown = [
    ...Object.keys(config).filter((key) => !(key in DEFAULTS)),
    ...Object.keys(config.limits).filter((key) => !(key in DEFAULTS.limits)),
    ...config.supported_models.flatMap(Object.keys).filter((key) => !(key in MODEL)),
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
  const session = new Session(workspace, request.session);
  const unlock = await session.lock(busy_seconds).catch(unusable);
  if (unlock === undefined) {
    const message = `Another turn of this conversation has been running for more than ${busy_seconds} s: wait for it.`;
    throw failed({ kind: 'session-busy', message, retryable: true });
  }
  const settings = settingsOf(config);
  let codex;
  let handover;
  const cancel = () => codex.stop('cancelled');
  try {
    handover = handoverOf(request, config);
    codex = new Codex(config, settings, workspace, storedThread(session), handover);
    signal?.addEventListener('abort', cancel);
    if (signal?.aborted) cancel();
    // A trap leaves an instance unusable, so each turn has its own.
    const { turns } = await instantiate({
      'plexum:codex/codex': codex.imports(),
      'plexum:codex/codex-server': codexServer,
      'plexum:codex/session': sessionImports(session, codex),
      'plexum:codex/settings': { get: () => settings },
      'plexum:codex/log': { write },
    });
    const turn = turns.Turn.start(request);
    let cancelled = false;
    for (;;) {
      // A call that waits is ended by `codex.stop`. Between two calls nothing waits, and the component can be told.
      if (signal?.aborted && !cancelled) {
        turn.cancel();
        cancelled = true;
      }
      const batch = await turn.next();
      if (batch.length === 0) return;
      yield* batch;
    }
  } finally {
    // Also when nobody wants more events. The conversation stays locked until codex is gone.
    signal?.removeEventListener('abort', cancel);
    await codex?.close();
    handover?.close();
    unlock();
  }
}

/** What codex may be given of the request. */
function handoverOf(request, config) {
  try {
    return new Handover(request, config.instructions);
  } catch (error) {
    const message = `The output schema could not be copied to a temporary file: ${error.message}.`;
    throw failed({ kind: 'invalid-request', message, retryable: false });
  }
}

/** What the grant goes by: what is stored now, not what the component will store. */
function storedThread(session) {
  try {
    return session.load().entry?.threadId;
  } catch (error) {
    return unusable(error);
  }
}

/** Ends a turn whose session cannot be locked or loaded. */
function unusable(error) {
  const { tag, val } = errorOf(error);
  const full = tag === 'resources';
  const message = `The session cannot be used: ${val}.`;
  throw failed({ kind: full ? 'resources' : 'session-unreadable', message, retryable: full });
}

const end = (failure) => ({ tag: 'message-end', val: { stopReason: 'error', failure } });

/** The interface `session`. The component may have kept what codex said, and not what it likes. */
function sessionImports(session, codex) {
  const orError = (work) => {
    try {
      return work();
    } catch (error) {
      throw failed(errorOf(error));
    }
  };
  const denied = (message) => failed({ tag: 'denied', val: message });
  return {
    load: () => orError(() => session.load()),
    save: (entry) => {
      if (!codex.knows(entry.threadId)) throw denied('codex did not name this thread, so it is not kept');
      if (entry.instructions !== undefined && !DIGEST.test(entry.instructions)) {
        throw denied('only a plain word of at most 128 bytes can be kept as the digest of instructions');
      }
      return orError(() => session.save(entry));
    },
    setAside: () => orError(() => session.setAside()),
  };
}

const DIGEST = /^[A-Za-z0-9_-]{1,128}$/;

function settingsOf(config) {
  const args = (id) => config.model_args[id] ?? (id === 'codex' ? [] : ['--model', id]);
  return {
    models: config.supported_models.map(({ id, display_name, context_window, images, efforts }) => ({
      id,
      args: args(id),
      displayName: display_name,
      contextWindow: context_window,
      images,
      efforts,
    })),
    extraArgs: config.extra_args,
    sandbox: config.sandbox,
    transport: config.transport,
    prompt: config.prompt,
    lostSession: config.lost_session,
    instructions: config.instructions,
    changedInstructions: config.changed_instructions,
  };
}

/** The interface `log`. Below `warn` it may hold text of the conversation. */
function write(level, message) {
  if (level === 'warn' || level === 'error') process.stderr.write(`${level}: ${message}\n`);
}
