// The capability `codex`: start the program that the configuration names, read its lines, stop it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { Framer } from './framing.mjs';
import { MAX_ARGUMENT_BYTES, check, isThreadId } from './grant.mjs';

/** How long output may still come after codex has ended: a tool that it left behind may hold the pipes forever. */
const DRAIN_MS = 500;
const STDERR_BYTES = 64 * 1024;
const MAX_BATCH_BYTES = 1024 * 1024;
const FIRST_BACK_OFF_MS = 250;

// The runtime's process may hold other providers' keys, and codex runs what a model says.
const ENVIRONMENT =
  /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_.*|TERM|COLORTERM|TZ|TMPDIR|XDG_.*|CODEX_.*|OPENAI_.*|(HTTPS?|ALL|NO)_PROXY|(https?|all|no)_proxy|SSL_CERT_(FILE|DIR)|NODE_EXTRA_CA_CERTS|CURL_CA_BUNDLE|REQUESTS_CA_BUNDLE|DBUS_SESSION_BUS_ADDRESS)$/;

/** How a host function gives the error of a `result`. */
export const failed = (payload) => Object.assign(new Error('an error of the contract'), { payload });

/** What one turn may do with codex. */
export class Codex {
  #config;
  #settings;
  #workspace;
  #stored;
  #handover;
  #stop = new AbortController();
  #turnClock;
  #opening = '';
  #pauseMs = FIRST_BACK_OFF_MS;
  #busyUntil;
  #children = [];

  /**
   * `stored` is the thread id that the session holds now, before the component has said anything, and `handover` has
   * the parts of the request that codex may be given.
   */
  constructor(config, settings, workspace, stored, handover) {
    this.#config = config;
    this.#settings = settings;
    this.#workspace = workspace;
    this.#stored = stored;
    this.#handover = handover;
    this.#turnClock = setTimeout(() => this.stop('turn-timeout'), config.limits.turn_seconds * 1000);
  }

  /** Ends the turn early; `cause` is a `stop-cause` of the contract. */
  stop(cause) {
    this.#stop.abort(cause);
  }

  /** Ends whatever still runs, when the component is gone, and waits until it has ended. */
  async close() {
    clearTimeout(this.#turnClock);
    this.stop('terminated');
    await Promise.all(this.#children.map((child) => child.exited));
  }

  /** Whether the session may keep this id: the one it holds, or one with which codex opened its output. */
  knows(threadId) {
    return isThreadId(threadId) && (threadId === this.#stored || this.#opening.includes(threadId));
  }

  /** The interface `codex`. */
  imports() {
    return {
      Child,
      spawn: (args, promptOnStdin) => this.#spawn(args, promptOnStdin),
      backOff: () => this.#backOff(),
    };
  }

  async #spawn(args, promptOnStdin) {
    const refused = (reason, message) => failed({ reason, message });
    const { signal } = this.#stop;
    if (signal.aborted) throw refused('stopped', 'The turn was stopped before codex was started.');
    const words = check(args, promptOnStdin, this.#settings, this.#stored, this.#handover.parts);
    if (words === undefined) throw refused('denied', 'the arguments of codex are not in the grant');
    const given = this.#handover.put(args, words);
    if (given.some((arg) => Buffer.byteLength(arg) > MAX_ARGUMENT_BYTES)) {
      const message = `a part of the request takes more than the ${MAX_ARGUMENT_BYTES} bytes that a program can be given`;
      throw refused('denied', message);
    }
    const { binary, limits } = this.#config;
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => ENVIRONMENT.test(name)));
    // A group of its own, so that Ctrl-C in a terminal does not reach it past us. An open standard input that
    // nothing writes to would make codex wait forever.
    const stdio = [promptOnStdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'];
    let started;
    try {
      started = spawn(binary, given, { cwd: this.#workspace, env, stdio, detached: true });
      const child = new Child(started, limits, signal, (opening) => (this.#opening += opening));
      await once(started, 'spawn');
      this.#children.push(child);
      started.stdin?.on('error', () => {}); // A codex that does not read its prompt says why on its own.
      started.stdin?.end(promptOnStdin);
      return child;
    } catch (error) {
      const reason = { ENOENT: 'not-installed', EACCES: 'not-executable', E2BIG: 'too-long' }[error.code] ?? 'failed';
      throw refused(reason, `${binary} could not be started in ${this.#workspace} (${error.code}): check both`);
    }
  }

  async #backOff() {
    const now = Date.now();
    this.#busyUntil ??= now + this.#config.limits.busy_seconds * 1000;
    const pause = this.#pauseMs;
    this.#pauseMs *= 2;
    if (now + pause > this.#busyUntil) return false;
    // Rejected when the turn is stopped.
    return sleep(pause, true, { signal: this.#stop.signal }).catch(() => false);
  }
}

/** The resource `child`: a running codex. */
export class Child {
  /** Resolves when it has ended, to its exit code and the name of the signal that ended it. */
  exited;
  #process;
  #limits;
  #hear;
  #framer;
  #began = Date.now();
  #spoke = false;
  #opening = true;
  #stderr = Buffer.alloc(0);
  #stopped;
  #outputCut = false;
  #leftBehind = 0;

  constructor(started, limits, signal, hear) {
    this.#process = started;
    this.#limits = limits;
    this.#hear = hear;
    this.#framer = new Framer(started.stdout);
    // Read all the time, so that codex never waits for room in the pipe.
    started.stderr.on('data', (chunk) => {
      this.#stderr = Buffer.concat([this.#stderr, chunk]).subarray(-STDERR_BYTES);
    });
    const stop = () => this.#stop(signal.reason);
    signal.addEventListener('abort', stop);
    this.exited = new Promise((resolve) => {
      started.once('exit', (code, killedBy) => {
        signal.removeEventListener('abort', stop);
        // Its group ends with it. Node.js cannot count who was in there, so one stands for all of them.
        if (this.#killGroup()) this.#leftBehind = 1;
        resolve({ code, killedBy });
      });
    });
  }

  async lines(maxBytes, awaiting) {
    const [cause, ms] = this.#clock(awaiting);
    const clocks = [setTimeout(() => this.#stop(cause), ms)];
    const cut = () => {
      this.#outputCut = true;
      this.#process.stdout.destroy();
    };
    const drain = () => clocks.push(setTimeout(cut, DRAIN_MS));
    if (this.#ended) drain();
    else this.#process.once('exit', drain);
    try {
      const lines = await this.#framer.lines(Math.min(maxBytes, MAX_BATCH_BYTES));
      this.#spoke = true;
      this.#noteOpening(lines.text);
      return lines;
    } finally {
      this.#process.off('exit', drain);
      clocks.forEach(clearTimeout);
    }
  }

  async wait() {
    const { code, killedBy } = await this.exited;
    const { stderr } = this.#process;
    if (!stderr.closed) await Promise.race([once(stderr, 'close'), sleep(DRAIN_MS)]);
    // The record `exit`.
    return {
      status: killedBy === null ? { tag: 'code', val: code } : { tag: 'signal', val: constants.signals[killedBy] },
      stopped: this.#stopped,
      stderr: this.#stderr.toString('utf8'),
      leftBehind: this.#leftBehind,
      outputCut: this.#outputCut,
    };
  }

  terminate() {
    this.#stop('terminated');
  }

  /** The component has dropped it. */
  [Symbol.dispose]() {
    this.#stop('terminated');
  }

  get #ended() {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  #stop(cause) {
    if (this.#stopped !== undefined || this.#ended || this.#process.pid === undefined) return;
    this.#stopped = cause;
    this.#process.kill('SIGINT');
    // SIGINT is the only signal on which codex ends its tools, and it needs time for that.
    const grace = setTimeout(() => this.#killGroup(), this.#limits.grace_seconds * 1000);
    this.#process.once('exit', () => clearTimeout(grace));
  }

  /** False when nobody is left in the group. */
  #killGroup() {
    try {
      return process.kill(-this.#process.pid, 'SIGKILL');
    } catch {
      return false;
    }
  }

  /** How long the next line may take, and what it means when it does not come. */
  #clock(awaiting) {
    const { start_seconds, idle_seconds, tool_idle_seconds, end_seconds } = this.#limits;
    if (!this.#spoke) return ['start-timeout', this.#began + start_seconds * 1000 - Date.now()];
    if (awaiting === 'end') return ['lingering', end_seconds * 1000];
    return ['idle-timeout', (awaiting === 'tool' ? tool_idle_seconds : idle_seconds) * 1000];
  }

  /** Codex names its thread in a line of its own, before the model can speak. */
  #noteOpening(text) {
    for (const line of text.split('\n')) {
      const names = line.includes('thread.started');
      if (!this.#opening || !(names || line.includes('turn.started'))) continue;
      this.#opening = false;
      if (names) this.#hear(line);
    }
  }
}
