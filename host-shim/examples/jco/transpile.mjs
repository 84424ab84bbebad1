// node transpile.mjs COMPONENT FOLDER
//
// Turns the component into a JavaScript module and its core WebAssembly, once, when the runtime is built. What
// comes out needs no package. The command of the package `@bytecodealliance/jco` does the same:
//
//   jco transpile COMPONENT -o FOLDER --name provider --instantiation async --async-mode jspi
//     --async-imports plexum:codex/codex#spawn … --async-exports plexum:provider/turns#[method]turn.next

import { argv } from 'node:process';
import { transpile, writeFiles } from '@bytecodealliance/jco-transpile';

// The imports that wait, and the one export that waits with them. While one waits, other turns run.
const asyncImports = ['spawn', 'back-off', '[method]child.lines', '[method]child.wait'];

const [component, outDir] = argv.slice(2);
if (outDir === undefined) throw new Error('usage: node transpile.mjs COMPONENT FOLDER');
const { files } = await transpile(component, {
  name: 'provider',
  outDir,
  instantiation: 'async',
  asyncMode: 'jspi',
  asyncImports: asyncImports.map((name) => `plexum:codex/codex#${name}`),
  asyncExports: ['plexum:provider/turns#[method]turn.next'],
  noComponentErrorWrapping: false,
});
// The module ends in `.js`, whatever the package around it says of such files.
files[`${outDir}/package.json`] = Buffer.from('{ "type": "module" }\n');
await writeFiles(files);
