// What the sides in Node.js have in common: how the driver asks for turns, and what it is told.
//
//   node <side>.mjs live CODEX                  turns for each line of standard input, until its end
//   node <side>.mjs program CODEX FOLDER PROMPT  one turn, each event as a line of JSON
//   node <side>.mjs stream CODEX                a turn for each line of standard input, told piece by piece
//
// A line {"folders": [...], "prompt": "..."} asks for a turn in each of the folders, all at once. The answer
// is a line {"wall_ms", "turns": [{"first_event_ms", "first_text_ms", "turn_ms"}]}: milliseconds since the
// line was read. "ready" is printed when the side is loaded.
//
// With `stream`, a line {"folder": "...", "prompt": "..."} is answered by a line {"text": "..."} for each piece of the
// answer, and a line {"end": true}.

import { createInterface } from 'node:readline';

/**
 * Serves the driver.
 *
 * @param start makes, of the path of codex, a function `turn(folder, prompt, saw)` that carries out one
 *   turn and resolves when codex has ended. It calls `saw(event, text)` for each event that codex caused,
 *   with the answer's text where the event brings it.
 */
export async function serve(start) {
  const [mode, codex, folder, prompt] = process.argv.slice(2);
  const turn = start(codex);
  if (mode === 'program') {
    await turn(folder, prompt, (event) => process.stdout.write(`${JSON.stringify(event)}\n`));
    return;
  }
  if (mode === 'stream') {
    for await (const line of createInterface({ input: process.stdin })) await streamed(turn, JSON.parse(line));
    return;
  }
  process.stdout.write('ready\n');
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    const began = performance.now();
    const turns = await Promise.all(order.folders.map((folder) => timed(turn, folder, order.prompt, began)));
    const wall_ms = performance.now() - began;
    process.stdout.write(`${JSON.stringify({ wall_ms, turns })}\n`);
  }
}

async function streamed(turn, { folder, prompt }) {
  const tell = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
  await turn(folder, prompt, (_event, text) => {
    if (text) tell({ text });
  });
  tell({ end: true });
}

async function timed(turn, folder, prompt, began) {
  let first_event_ms, first_text_ms, answer;
  await turn(folder, prompt, (_event, text) => {
    const now = performance.now() - began;
    first_event_ms ??= now;
    if (text !== undefined) {
      first_text_ms ??= now;
      answer = text;
    }
  });
  const turn_ms = performance.now() - began;
  // A side that fails fast is not fast. (One of them puts "User: " in front of the prompt.)
  if (!answer?.startsWith('echo: ') || !answer.endsWith(prompt)) throw new Error(`the answer was ${answer}`);
  return { first_event_ms, first_text_ms, turn_ms };
}
