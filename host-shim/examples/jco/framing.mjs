// Bytes become whole lines. This is all that the host knows about what codex prints.

// Codex prints an answer of 5 MB as one line.
const MAX_LINE_BYTES = 8 * 1024 * 1024;

const LINE_FEED = 10;

/** Cuts a stream at its line feeds and at nothing else: codex writes U+2028 and its like raw. */
export class Framer {
  #chunks;
  #next;
  /** What was read and not yet handed out: chunks, of which only the last one may hold a line feed. */
  #held = [];
  #heldBytes = 0;
  /** How much of an overlong line has been thrown away. */
  #skipping = 0;
  #skipped = [];
  #ended = false;

  constructor(stream) {
    this.#chunks = stream[Symbol.asyncIterator]();
    // At once: what nobody listens to when a process exits, Node.js throws away.
    this.#readAhead();
  }

  /** The next whole lines: at most `maxBytes`, unless the first is longer. Nothing in either field is the end. */
  async lines(maxBytes) {
    for (;;) {
      const lines = this.#take(maxBytes);
      if (lines.text !== '' || lines.skipped.length > 0 || this.#ended) return lines;
      const { value, done } = await this.#next;
      if (done) this.#end();
      else {
        this.#hold(value);
        this.#readAhead();
      }
    }
  }

  #readAhead() {
    this.#next = this.#read();
    this.#next.catch(() => {}); // An error is met by who awaits it, and is no unhandled one until then.
  }

  async #read() {
    try {
      return await this.#chunks.next();
    } catch (error) {
      // So it says when the host has had enough and destroys the stream.
      if (error.code === 'ERR_STREAM_PREMATURE_CLOSE') return { done: true };
      throw error;
    }
  }

  #hold(chunk) {
    if (this.#skipping > 0) {
      const end = chunk.indexOf(LINE_FEED);
      if (end < 0) {
        this.#skipping += chunk.length;
        return;
      }
      this.#skipped.push(BigInt(this.#skipping + end));
      this.#skipping = 0;
      chunk = chunk.subarray(end + 1);
    }
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    // Thrown away as soon as it is too long, so that it costs no memory.
    if (this.#heldBytes > MAX_LINE_BYTES && !chunk.includes(LINE_FEED)) {
      this.#skipping = this.#heldBytes;
      this.#keep(Buffer.alloc(0));
    }
  }

  #take(maxBytes) {
    const skipped = this.#skipped.splice(0);
    let text = '';
    if (this.#held.at(-1)?.includes(LINE_FEED)) {
      const bytes = Buffer.concat(this.#held);
      const first = bytes.indexOf(LINE_FEED);
      const end = Math.max(first, bytes.subarray(0, maxBytes).lastIndexOf(LINE_FEED)) + 1;
      this.#keep(bytes.subarray(end));
      // The first line may also turn out too long in the chunk that completes it.
      if (first > MAX_LINE_BYTES) skipped.push(BigInt(first));
      text = bytes.toString('utf8', first > MAX_LINE_BYTES ? first + 1 : 0, end);
    }
    return { text, skipped: BigUint64Array.from(skipped) };
  }

  #end() {
    this.#ended = true;
    if (this.#skipping > 0) this.#skipped.push(BigInt(this.#skipping));
    // The contract gives the last line its line feed.
    else if (this.#heldBytes > 0) this.#hold(Buffer.from('\n'));
    this.#skipping = 0;
  }

  #keep(rest) {
    this.#held = rest.length > 0 ? [rest] : [];
    this.#heldBytes = rest.length;
  }
}
