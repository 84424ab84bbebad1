// The capability `session`: the thread id and its token totals in the workspace, in the files of the Rust host, so
// that either host goes on where the other stopped. The agent can write to the workspace: no link is followed.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, fstatSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = constants;
const MAX_FILE_BYTES = 4096;
const TOTALS = ['input_tokens', 'cached_input_tokens', 'cache_write_input_tokens', 'output_tokens', 'reasoning_output_tokens'];

/**
 * Keeps other turns out of the workspace, those of other processes too. Returns what ends that, or nothing when
 * another turn has gone on for longer than `seconds`.
 */
export async function lock(workspace, seconds) {
  const file = openSync(join(workspace, '.plexum-codex-lock'), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  // Node.js cannot lock a file. The program `flock` locks the description that it shares with us, and then ends;
  // the lock stays until the file is closed, and be it because this process dies.
  const flock = spawn('flock', ['--wait', String(seconds), '3'], { stdio: ['ignore', 'ignore', 'inherit', file] });
  const [code] = await once(flock, 'exit');
  if (code === 0) return () => closeSync(file);
  closeSync(file);
  return undefined;
}

export class Session {
  #workspace;
  #idFile;
  #totalsFile;

  constructor(workspace) {
    this.#workspace = workspace;
    this.#idFile = join(workspace, '.plexum-codex-session');
    this.#totalsFile = join(workspace, '.plexum-codex-usage.json');
  }

  /** The entry, if there is one. */
  load() {
    const threadId = readSmall(this.#idFile)?.trim();
    if (threadId === undefined) return undefined;
    return { threadId, totals: this.#totals(threadId) };
  }

  save({ threadId, totals }) {
    // Rewriting what is there would cost a sync and risk it for nothing.
    if (readSmall(this.#idFile) !== threadId) this.#replace(this.#idFile, threadId);
    if (totals === undefined) rmSync(this.#totalsFile, { force: true });
    else this.#replace(this.#totalsFile, JSON.stringify({ thread_id: threadId, totals: toSnakeCase(totals) }));
  }

  setAside() {
    renameSync(this.#idFile, `${this.#idFile}.bad`);
  }

  /** The totals only serve to compute usage: unreadable totals count as unknown. */
  #totals(threadId) {
    try {
      const record = JSON.parse(readSmall(this.#totalsFile));
      return record.thread_id === threadId ? toCamelCase(record.totals) : undefined;
    } catch {
      return undefined;
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
    TOTALS.filter((name) => totals[camelCase(name)] !== undefined).map((name) => [name, Number(totals[camelCase(name)])]),
  );

const toCamelCase = (totals) =>
  Object.fromEntries(TOTALS.filter((name) => name in totals).map((name) => [camelCase(name), BigInt(totals[name])]));
