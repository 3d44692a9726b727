/**
 * Reads the octets after DATA (RFC 5321 4.5.2) as they arrive: finds the true end, CRLF `.` CRLF and nothing else, removes the dot
 * that begins a line, and notes what must never be forwarded: a bare CR, a bare LF, a NUL. It never repairs: after a fault it reads
 * on to the true end. Every octet sequence gives the same result however it is cut into chunks.
 */

/** Where the reader stands: in a line, behind a CR, at the start of a line, behind a dot there, behind dot CR there. */
type Place = 'line' | 'cr' | 'start' | 'dot' | 'dotCr';

/** Why a message cannot be taken whatever it says: a bare CR or LF or a NUL in it; too large. */
export type DataFault = 'broken' | 'oversize';

export type DataChunk = Readonly<{
  /** The message text in the chunk as octet string: unescaped, without the final dot line. Unusable once `broken` is true. */
  text: string;
  /** Offset behind the final dot line, or -1 when the end is still to come. */
  end: number;
}>;

const cr = 0x0d;
const lf = 0x0a;
const dot = 0x2e;

// Neither looks across the edge of the string: the reader has settled what stands there.
const brokenLine = /\r(?!\n|$)|(?<!\r)\n|\0/;
/** A broken line or one that begins with a dot: one pass that nearly always tells that there is nothing to do. */
const notable = /\r(?!\n(?!\.)|$)|(?<!\r)\n|\0/;

export class DataReader {
  /** A bare CR, a bare LF or a NUL was seen. */
  broken = false;
  /** Message octets so far, dots unescaped, CRLFs counted. */
  octets = 0;
  /** Octets of the wire form so far, up to and without the final dot line; exact once the end was found. */
  wireOctets = 0;
  #place: Place = 'start';
  readonly #maxOctets: number;

  /** `maxOctets`: of a message, dots unescaped. */
  constructor(maxOctets = Number.POSITIVE_INFINITY) {
    this.#maxOctets = maxOctets;
  }

  get tooLong(): boolean {
    return this.octets > this.#maxOctets;
  }

  /** Why the message cannot be taken, as far as it was read. */
  get fault(): DataFault | null {
    if (this.broken) return 'broken';
    return this.tooLong ? 'oversize' : null;
  }

  /** Reads `chunk` from `from` on, at most up to the end of the message. */
  feed(chunk: Buffer, from = 0): DataChunk {
    let at = from;
    let lead = '';
    for (; at < chunk.length; at++) {
      const octet = chunk[at];
      if (this.#place === 'start' && octet === dot) this.#place = 'dot';
      else if (this.#place === 'dot' && octet === cr) this.#place = 'dotCr';
      else if (this.#place === 'cr' && octet === lf) {
        lead += '\n';
        this.#place = 'start';
      } else if (this.#place === 'dotCr' && octet === lf) {
        this.wireOctets += at + 1 - from - 3;
        this.#place = 'start';
        return this.#deliver(lead, at + 1);
      } else {
        this.broken ||= this.#place === 'cr' || this.#place === 'dotCr';
        break;
      }
    }
    if (at === chunk.length) {
      this.wireOctets += at - from;
      return this.#deliver(lead, -1);
    }
    return this.#bulk(chunk, from, at, lead);
  }

  /** Whether a body whose end is told from outside (RFC 5321 wire form over HTTP) may end here: empty, or behind a CRLF. */
  get atLineStart(): boolean {
    return this.#place === 'start';
  }

  /** The rest of a chunk, from a place inside a line or at the start of one that does not begin with a dot. */
  #bulk(chunk: Buffer, from: number, at: number, lead: string): DataChunk {
    let text = chunk.toString('latin1', at);
    if (!notable.test(text)) {
      this.wireOctets += chunk.length - from;
      this.#place = placeBehind(text);
      return this.#deliver(lead === '' ? text : lead + text, -1);
    }
    const finalDot = text.indexOf('\r\n.\r\n');
    const end = finalDot < 0 ? -1 : at + finalDot + 5;
    if (end >= 0) text = text.slice(0, finalDot + 2);
    this.wireOctets += (end < 0 ? chunk.length : end - 3) - from;
    this.#place = end < 0 ? placeBehind(text) : 'start';
    this.broken ||= brokenLine.test(text);
    text = text.replaceAll('\r\n.', '\r\n');
    if (this.#place === 'dotCr') text = text.slice(0, -1);
    return this.#deliver(lead + text, end);
  }

  #deliver(text: string, end: number): DataChunk {
    this.octets += text.length;
    return { text, end };
  }
}

function placeBehind(text: string): Place {
  if (text.endsWith('\r\n.\r')) return 'dotCr';
  if (text.endsWith('\r\n.')) return 'dot';
  if (text.endsWith('\r\n')) return 'start';
  return text.endsWith('\r') ? 'cr' : 'line';
}
