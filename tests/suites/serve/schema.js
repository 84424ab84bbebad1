// Checks values against the published schema.
//
//   node schema.js SCHEMA.json <VALUES.jsonl
//
// Each line is { definition, value }: the name of a definition of the schema, and what must follow it.

const { readFileSync } = require("node:fs");
const Ajv2020 = require("ajv/dist/2020");

// A function that throws unless a value follows a definition of the schema in this file.
function validator(path) {
  const schema = JSON.parse(readFileSync(path, "utf8"));
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, strictRequired: false, strictTypes: false });
  ajv.addSchema(schema, "schema");
  return (definition, value) => {
    const valid = ajv.getSchema(`schema#/$defs/${definition}`);
    if (!valid) throw new Error(`the schema has no definition ${definition}`);
    if (!valid(value)) {
      throw new Error(`${JSON.stringify(value).slice(0, 2000)} is no ${definition}: ${ajv.errorsText(valid.errors)}`);
    }
  };
}

module.exports = { validator };

if (require.main === module) {
  const valid = validator(process.argv[2]);
  const lines = readFileSync(0, "utf8").split("\n").filter(Boolean);
  for (const line of lines) {
    const { definition, value } = JSON.parse(line);
    valid(definition, value);
  }
  console.log(lines.length);
}
