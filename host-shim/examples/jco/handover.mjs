// What a request hands over to codex. The component only writes words that stand for these parts: whatever it makes of
// the request, codex gets what the request holds, or nothing.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const MAX_SCHEMA_BYTES = 1024 * 1024;
const EFFORT = /^[A-Za-z0-9_-]{1,32}$/;

/** What codex gets in place of each word. */
const ARGUMENTS = {
  instructions: (text) => `developer_instructions=${tomlString(text)}`,
  effort: (text) => `model_reasoning_effort=${tomlString(text)}`,
  outputSchema: (path) => path,
};

/** Holds the parts of one turn's request ready. */
export class Handover {
  /** Those that there are. What codex could not be given anyway is left out: the component says why. */
  parts = {};
  #folder;

  /** `instructions` is the operator's setting. */
  constructor(request, instructions) {
    const { effort, outputSchema } = request.options;
    if (instructions === 'developer') this.parts.instructions = allInstructions(request);
    if (effort !== undefined && EFFORT.test(effort)) this.parts.effort = effort;
    if (outputSchema !== undefined && Buffer.byteLength(outputSchema) <= MAX_SCHEMA_BYTES) {
      // A folder of our own, which nobody else can look into.
      this.#folder = mkdtempSync(join(resolve(tmpdir()), 'plexum-codex-'));
      this.parts.outputSchema = join(this.#folder, 'schema.json');
      try {
        writeFileSync(this.parts.outputSchema, outputSchema, { mode: 0o600, flag: 'wx' });
      } catch (error) {
        this.close();
        throw error;
      }
    }
  }

  /** The arguments with the parts in the places that `words` names; see `check` in grant.mjs. */
  put(args, words) {
    const given = [...args];
    for (const [index, part] of words) given[index] = ARGUMENTS[part](this.parts[part]);
    return given;
  }

  /** Removes the schema's file. */
  close() {
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The instructions and then the messages of role `system`, an empty line between any two. */
function allInstructions({ instructions, messages }) {
  const systems = messages.filter(({ role }) => role === 'system').map(textOf);
  const texts = [instructions ?? '', ...systems].filter((text) => text !== '');
  return texts.length > 0 ? texts.join('\n\n') : undefined;
}

function textOf({ content }) {
  const texts = content.filter(({ tag }) => tag === 'text');
  return texts.map(({ val }) => val).join('\n\n');
}

/** A text as a TOML string on one line: as in JSON, but TOML knows no half of a surrogate pair, and no bare DEL. */
function tomlString(text) {
  return JSON.stringify(text.toWellFormed()).replaceAll('\x7f', '\\u007f');
}
