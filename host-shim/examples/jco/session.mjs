// The capability `session`: what is kept of a conversation, in the files of the Rust host, so that either host goes on
// where the other stopped. The agent can write to the workspace: no link is followed. Left out: whose a thread is. This
// host resumes whatever the session file names.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync, constants, fstatSync, fsyncSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
const MAX_FILE_BYTES = 65536;

/** The token counts, and whether codex always gives them. */
const TOTALS = {
  input_tokens: true,
  cached_input_tokens: false,
  cache_write_input_tokens: false,
  output_tokens: true,
  reasoning_output_tokens: false,
};

/** What went wrong with a session's files, as an error of the contract. */
export function errorOf({ code, message }) {
  return { tag: code === 'ENOSPC' || code === 'EDQUOT' ? 'resources' : 'unreadable', val: message };
}

export class Session {
  #idFile;
  #state;
  #lockFile;

  /** `name` is the request's `session`, if it has one. It may be any text, so the files have a digest of it. */
  constructor(workspace, name) {
    const digest = name === undefined ? '' : `-${createHash('sha256').update(name).digest('hex').slice(0, 32)}`;
    this.#idFile = join(workspace, `.plexum-codex-session${digest}`);
    this.#state = join(process.env.XDG_STATE_HOME ?? join(homedir(), '.local/state'), 'plexum-openai-provider');
    for (const folder of ['threads', 'workspaces', 'locks']) mkdirSync(join(this.#state, folder), { recursive: true, mode: 0o700 });
    // The workspace's own conversation is locked by its folder, which the agent cannot take away.
    this.#lockFile = name === undefined ? workspace : join(this.#state, 'locks', lockName(workspace, name));
  }

  /**
   * Keeps other turns of the conversation out, those of other processes too. Returns what ends that, or nothing when
   * another turn has gone on for longer than `seconds`.
   */
  async lock(seconds) {
    const flags = basename(dirname(this.#lockFile)) === 'locks' ? O_CREAT | O_NOFOLLOW : O_DIRECTORY;
    const file = openSync(this.#lockFile, O_RDONLY | flags, 0o600);
    // Node.js cannot lock a file. The program `flock` locks the description that it shares with us, and then ends;
    // the lock stays until the file is closed, and be it because this process dies.
    const flock = spawn('flock', ['--wait', String(seconds), '3'], { stdio: ['ignore', 'ignore', 'inherit', file] });
    const [code] = await once(flock, 'exit');
    if (code === 0) return () => closeSync(file);
    closeSync(file);
    return undefined;
  }

  /** What the conversation goes on with. */
  load() {
    const threadId = readSmall(this.#idFile)?.trim();
    const entry = threadId === undefined ? undefined : { threadId, ...this.#known(threadId) };
    return { entry, foreign: undefined, notices: [] };
  }

  /** Returns what a person should know. */
  save({ threadId, totals, instructions }) {
    // Rewriting what is there would cost a sync and risk it for nothing.
    if (readSmall(this.#idFile) !== threadId) replace(this.#idFile, threadId);
    const { rollout: before, ...kept } = this.#thread(threadId);
    const rollout = totals && rolloutOf(threadId, before);
    const thread = { ...kept, totals: totals && toSnakeCase(totals), instructions, rollout };
    replace(this.#threadFile(threadId), JSON.stringify(thread));
    return [];
  }

  setAside() {
    renameSync(this.#idFile, `${this.#idFile}.bad`);
  }

  /** What is known besides the id. The totals are not, if codex's own record has grown since. */
  #known(threadId) {
    const { totals, instructions, rollout } = this.#thread(threadId);
    const now = rolloutOf(threadId, rollout);
    const believed = totals !== undefined && rollout?.path === now?.path && rollout?.bytes === now?.bytes;
    return { totals: believed ? toCamelCase(totals) : undefined, instructions };
  }

  /** The file of the state about this thread. It may be lost: what cannot be read counts as unknown. */
  #thread(threadId) {
    try {
      return JSON.parse(readSmall(this.#threadFile(threadId)) ?? '{}');
    } catch {
      return {};
    }
  }

  #threadFile(threadId) {
    if (!UUID.test(threadId)) throw new Error('not a thread id');
    return join(this.#state, 'threads', `${threadId.toLowerCase()}.json`);
  }
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** As the Rust host names the lock of a conversation that has a name. */
function lockName(workspace, name) {
  const inode = Buffer.alloc(8);
  inode.writeBigUInt64LE(statSync(workspace, { bigint: true }).ino);
  return createHash('sha256').update(inode).update(name).digest('hex').slice(0, 32);
}

/** Codex's own record of the thread: where it is, and how long. */
function rolloutOf(threadId, known) {
  const home = process.env.CODEX_HOME ?? join(homedir(), '.codex');
  try {
    const path = known?.path ?? join('sessions', readdirSync(join(home, 'sessions'), { recursive: true })
      .find((name) => basename(name).startsWith('rollout-') && name.endsWith(`-${threadId}.jsonl`)));
    return { path, bytes: statSync(join(home, path)).size };
  } catch {
    return undefined;
  }
}

/** A crash leaves the old content or the new one, whole. */
function replace(path, content) {
  const temporary = `${path}.tmp`;
  rmSync(temporary, { force: true });
  withFile(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, (file) => {
    writeSync(file, content);
    fsyncSync(file);
  });
  renameSync(temporary, path);
  withFile(dirname(path), O_RDONLY | O_DIRECTORY, fsyncSync);
}

function readSmall(path) {
  try {
    return withFile(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, (file) => {
      const status = fstatSync(file);
      if (!status.isFile() || status.size > MAX_FILE_BYTES) throw new Error(`${path} is not a small plain file: remove it`);
      return readFileSync(file, 'utf8');
    });
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function withFile(path, flags, use) {
  const file = openSync(path, flags, 0o600);
  try {
    return use(file);
  } finally {
    closeSync(file);
  }
}

const camelCase = (name) => name.replace(/_./g, ([, letter]) => letter.toUpperCase());

/** Token counts are 64 bits wide in the contract, and stay far below 2⁵³. */
const toSnakeCase = (totals) =>
  Object.fromEntries(
    Object.keys(TOTALS)
      .filter((name) => totals[camelCase(name)] !== undefined)
      .map((name) => [name, Number(totals[camelCase(name)])]),
  );

const toCamelCase = (totals) =>
  Object.fromEntries(
    Object.entries(TOTALS)
      .filter(([name, always]) => always || name in totals)
      .map(([name]) => [camelCase(name), count(totals[name])]),
  );

function count(value) {
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${value} is not a number of tokens`);
  return BigInt(value);
}
