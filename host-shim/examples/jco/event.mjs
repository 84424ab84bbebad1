// The canonical events as JSON, in the form of `plexum-openai-provider say --json`.

/** The names of fields that hold an enum; the contract spells its values with `-`, JSON with `_`. */
const ENUMS = new Set(['kind', 'status', 'stopReason']);

/** An event of the contract as one line of JSON, without its line feed. */
export function line({ tag, val }) {
  const fields = tag === 'plan' ? { steps: val } : val;
  return JSON.stringify({ type: snakeCase(tag), ...json(fields) });
}

/** What JSON.stringify is to get: absent fields are undefined, and so left out. */
function json(value, name) {
  if (typeof value === 'bigint') return JSON.rawJSON(value);
  if (typeof value === 'string') {
    if (name === 'input') return document(value);
    return ENUMS.has(name) ? snakeCase(value) : value;
  }
  if (Array.isArray(value)) return value.map((element) => json(element));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), json(field, name)]),
  );
}

/**
 * What a tool was called with: a JSON document, its numbers as they are written, its members sorted as the Rust
 * host sorts them.
 */
function document(text) {
  try {
    return JSON.parse(text, (_, value, { source }) => {
      if (typeof value === 'number') return JSON.rawJSON(source);
      const isObject = typeof value === 'object' && value !== null && !Array.isArray(value) && !JSON.isRawJSON(value);
      return isObject ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value;
    });
  } catch {
    return text;
  }
}

const snakeCase = (name) => name.replaceAll('-', '_');
