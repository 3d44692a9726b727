/**
 * Hashes a message body in canonical form (RFC 6376 3.4.3, 3.4.4) while it arrives in pieces. What is already canonical, and armored mail
 * is, goes to the hash as it is; lines are taken apart only in pieces that need it.
 */
import { createHash, type Hash } from 'node:crypto';

/** How much a message may change on its way without breaking a signature (RFC 6376 3.4). */
export type Canonicalization = 'simple' | 'relaxed';

export type BodyDigest = Readonly<{ hash: Buffer; octets: number }>;

// Blanks that relaxed canonicalization would touch. A blank at the end of a piece may be one of them.
const touched = /[ \t]{2}|\t| \r|[ \t]$/;

export class BodyDigester {
  readonly #relaxed: boolean;
  readonly #hash: Hash = createHash('sha256');
  #octets = 0;
  /** CRLFs, and with them empty lines, that count only if something follows. */
  #lineEnds = 0;
  /** Blanks, and the CR of a CRLF, from the end of the last piece. */
  #held = '';

  constructor(canonicalization: Canonicalization) {
    this.#relaxed = canonicalization === 'relaxed';
  }

  /** Takes the next octets of the body. Bare CR and LF must have been excluded. */
  feed(piece: string): void {
    let text = this.#held === '' ? piece : this.#held + piece;
    this.#held = '';
    if (this.#relaxed && touched.test(text)) {
      const blanks = blanksAtEnd(text);
      // However many they are, one space is all that can come of them.
      this.#held = text.slice(blanks).replace(/[ \t]+/, ' ');
      text = relax(text.slice(0, blanks));
    }
    if (text.endsWith('\r')) {
      this.#held = `\r${this.#held}`;
      text = text.slice(0, -1);
    }
    if (text === '') return;
    let end = text.length;
    while (end >= 2 && text.startsWith('\r\n', end - 2)) end -= 2;
    const lineEnds = (text.length - end) / 2;
    if (end === 0) {
      this.#lineEnds += lineEnds;
      return;
    }
    this.#writeLineEnds();
    this.#write(end === text.length ? text : text.slice(0, end));
    this.#lineEnds = lineEnds;
  }

  end(): BodyDigest {
    // A body that does not end in CRLF gets one; so does an empty one, except in relaxed form.
    if (this.#octets > 0 || !this.#relaxed) this.#write('\r\n');
    return { hash: this.#hash.digest(), octets: this.#octets };
  }

  #writeLineEnds(): void {
    for (let rest = this.#lineEnds; rest > 0; rest -= 4096) this.#write('\r\n'.repeat(Math.min(rest, 4096)));
    this.#lineEnds = 0;
  }

  #write(text: string): void {
    this.#hash.update(text, 'latin1');
    this.#octets += text.length;
  }
}

/** Where the blanks at the end of the text begin, or those before a CR there. */
function blanksAtEnd(text: string): number {
  let at = text.endsWith('\r') ? text.length - 1 : text.length;
  while (at > 0 && (text[at - 1] === ' ' || text[at - 1] === '\t')) at--;
  return at;
}

/** Blanks at line ends go, other runs of blanks become one space. */
function relax(text: string): string {
  return text.replace(/[ \t]+/g, ' ').replaceAll(' \r\n', '\r\n');
}
