// The canonical events as JSON, in the form of `plexum-openai-provider say --json`.

/** The names of fields that hold an enum; the contract spells its values with `-`, JSON with `_`. */
const ENUMS = new Set(['kind', 'status', 'stopReason', 'outcome']);

/** An event of the contract as one line of JSON, without its line feed. */
export function line({ tag, val }) {
  const { input, ...fields } = fieldsOf(tag, val);
  const text = JSON.stringify({ type: snakeCase(tag), ...json(fields) });
  // The last field of a tool's start.
  return input === undefined ? text : `${text.slice(0, -1)},"input":${document(input)}}`;
}

function fieldsOf(tag, val) {
  if (tag === 'plan') return { steps: val };
  if (tag !== 'notice') return val;
  // What the kind holds stands beside the message.
  return { kind: val.kind.tag, ...noticeFields(val.kind), message: val.message };
}

function noticeFields({ tag, val }) {
  switch (tag) {
    case 'session-replaced':
      return { ...val, reason: snakeCase(val.reason) };
    case 'unsupported':
      return { part: snakeCase(val) };
    case 'line-skipped':
      return { bytes: val };
    case 'unknown-event':
      return { event: val };
    default:
      return val;
  }
}

/** What JSON.stringify is to get: absent fields are undefined, and so left out. */
function json(value, name) {
  if (typeof value === 'bigint') return JSON.rawJSON(value);
  if (typeof value === 'string') {
    return ENUMS.has(name) ? snakeCase(value) : value;
  }
  if (Array.isArray(value)) return value.map((element) => json(element));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), json(field, name)]),
  );
}

/** What a tool was called with: JSON as it was written, on one line; what is not JSON is a string. */
function document(text) {
  try {
    JSON.parse(text);
    return text.trim().replace(/[\r\n]/g, ' ');
  } catch {
    return JSON.stringify(text);
  }
}

const snakeCase = (name) => name.replaceAll('-', '_');
