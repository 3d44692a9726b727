/**
 * Strict base64 (RFC 4648) in any pieces: only the alphabet and line ends, no blanks, a full last quantum with zero padding bits.
 * Nothing is concatenated at the edges of pieces but one quantum, and the decoded octets live in one scratch buffer, so memory
 * stays flat.
 */

// A chunk from a socket has at most 64 KiB. Shared by all readers: nothing keeps a view of it across a call.
const scratch = new Uint8Array(65_536);
const lineEnds = /[\r\n]+/g;

export class Base64Reader {
  readonly #sink: (octets: Uint8Array) => void;
  /** The base64 characters of a quantum that is not complete yet. */
  #carry = '';

  /** `sink` gets the decoded octets and must have used them when it returns. */
  constructor(sink: (octets: Uint8Array) => void) {
    this.#sink = sink;
  }

  /** Whether the octets so far end with a whole quantum. */
  get whole(): boolean {
    return this.#carry === '';
  }

  /** Decodes text without padding; false when it is no strict base64. */
  feed(text: string): boolean {
    if (text.includes(' ') || text.includes('\t') || text.includes('\f')) return false;
    let at = 0;
    while (this.#carry !== '' && at < text.length) {
      const octet = text[at++] ?? '';
      if (octet === '\r' || octet === '\n') continue;
      if (!/[A-Za-z0-9+/]/.test(octet)) return false;
      this.#carry += octet;
      if (this.#carry.length === 4) {
        const quantum = this.#carry;
        this.#carry = '';
        if (!this.#decode(quantum, 'strict')) return false;
      }
    }
    return at === text.length || this.#decode(at === 0 ? text : text.slice(at), 'stop-before-partial');
  }

  /** Ends the data with `padding` (`''`, `=` or `==`); false when the last quantum is not whole with it. */
  finish(padding: string): boolean {
    const quantum = this.#carry + padding;
    this.#carry = '';
    return quantum.length % 4 === 0 && (quantum === '' || this.#decode(quantum, 'strict'));
  }

  #decode(text: string, lastChunkHandling: 'strict' | 'stop-before-partial'): boolean {
    let rest = text;
    for (;;) {
      let result: { read: number; written: number };
      try {
        result = scratch.setFromBase64(rest, { lastChunkHandling });
      } catch {
        return false;
      }
      if (result.written > 0) this.#sink(scratch.subarray(0, result.written));
      rest = rest.slice(result.read);
      if (result.written < scratch.length - 2) break;
    }
    this.#carry = rest.replace(lineEnds, '');
    return this.#carry.length < 4;
  }
}
