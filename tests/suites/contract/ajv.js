// Says of each line { schema, value } on standard input whether the value follows the schema: `true` or `false`, a line
// each. A schema that is not strictly right is an error.

const { readFileSync } = require("node:fs");
const Ajv2020 = require("ajv/dist/2020");

for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const { schema, value } = JSON.parse(line);
  const ajv = new Ajv2020({
    strict: true,
    allowUnionTypes: true,
    strictRequired: false,
    strictTypes: false,
    validateFormats: false,
  });
  console.log(ajv.compile(schema)(value));
}
