// The capability `session`: what is kept of a conversation, in the files of the Rust host in the workspace, so that
// either host goes on where the other stopped. The agent can write to the workspace: no link is followed.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, constants, fstatSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = constants;
const MAX_FILE_BYTES = 4096;

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
  #workspace;
  #idFile;
  #stateFile;
  #lockFile;

  /** `name` is the request's `session`, if it has one. It may be any text, so the files have a digest of it. */
  constructor(workspace, name) {
    const digest = name === undefined ? '' : `-${createHash('sha256').update(name).digest('hex').slice(0, 32)}`;
    this.#workspace = workspace;
    this.#idFile = join(workspace, `.plexum-codex-session${digest}`);
    this.#stateFile = join(workspace, `.plexum-codex-state${digest}.json`);
    this.#lockFile = join(workspace, `.plexum-codex-lock${digest}`);
  }

  /**
   * Keeps other turns of the conversation out, those of other processes too. Returns what ends that, or nothing when
   * another turn has gone on for longer than `seconds`.
   */
  async lock(seconds) {
    const file = openSync(this.#lockFile, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
    // Node.js cannot lock a file. The program `flock` locks the description that it shares with us, and then ends;
    // the lock stays until the file is closed, and be it because this process dies.
    const flock = spawn('flock', ['--wait', String(seconds), '3'], { stdio: ['ignore', 'ignore', 'inherit', file] });
    const [code] = await once(flock, 'exit');
    if (code === 0) return () => closeSync(file);
    closeSync(file);
    return undefined;
  }

  /** The entry, if there is one. */
  load() {
    const threadId = readSmall(this.#idFile)?.trim();
    return threadId === undefined ? undefined : { threadId, ...this.#state(threadId) };
  }

  save({ threadId, totals, instructions }) {
    // Rewriting what is there would cost a sync and risk it for nothing.
    if (readSmall(this.#idFile) !== threadId) this.#replace(this.#idFile, threadId);
    if (totals === undefined && instructions === undefined) {
      rmSync(this.#stateFile, { force: true });
      return;
    }
    const state = { thread_id: threadId, totals: totals && toSnakeCase(totals), instructions };
    this.#replace(this.#stateFile, JSON.stringify(state));
  }

  setAside() {
    renameSync(this.#idFile, `${this.#idFile}.bad`);
  }

  /** What is known besides the id. It may be lost: what cannot be read counts as unknown. */
  #state(threadId) {
    try {
      const { thread_id, totals, instructions } = JSON.parse(readSmall(this.#stateFile));
      const known = thread_id === threadId && (instructions === undefined || typeof instructions === 'string');
      return known ? { totals: totals === undefined ? undefined : toCamelCase(totals), instructions } : {};
    } catch {
      return {};
    }
  }

  /** A crash leaves the old content or the new one, whole. */
  #replace(path, content) {
    const temporary = `${path}.tmp`;
    rmSync(temporary, { force: true });
    withFile(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, (file) => {
      writeSync(file, content);
      fsyncSync(file);
    });
    renameSync(temporary, path);
    withFile(this.#workspace, O_RDONLY | O_DIRECTORY, fsyncSync);
  }
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
