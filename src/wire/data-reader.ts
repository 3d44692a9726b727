/**
 * Reads the octets after DATA (RFC 5321 4.5.2) as they arrive: finds the true end, CRLF `.` CRLF and nothing else, removes the dot
 * that begins a line, and notes what must never be forwarded: a bare CR, a bare LF, a NUL. It never repairs: after a fault it reads
 * on to the true end. Every octet sequence gives the same result however it is cut into chunks.
 */

/** Where the reader stands: in a line, behind a CR, at the start of a line, behind a dot there, behind dot CR there. */
type Place = 'line' | 'cr' | 'start' | 'dot' | 'dotCr';

export type DataChunk = Readonly<{
  /** The message text in the chunk as octet string: unescaped, without the final dot line. Unusable once `broken` is true. */
  text: string;
  /** Offset behind the final dot line, or -1 when the end is still to come. */
  end: number;
}>;

// Neither looks across the edge of the string: the reader has settled what stands there.
const brokenLine = /\r(?!\n|$)|(?<!\r)\n|\0/;

export class DataReader {
  /** A bare CR, a bare LF or a NUL was seen. */
  broken = false;
  /** Message octets so far, dots unescaped, CRLFs counted. */
  octets = 0;
  /** Octets of the wire form so far, up to and without the final dot line; exact once the end was found. */
  wireOctets = 0;
  #place: Place = 'start';

  /** Reads `chunk` from `from` on, at most up to the end of the message. */
  feed(chunk: Buffer, from = 0): DataChunk {
    let at = from;
    let lead = '';
    while (this.#place !== 'line' && at < chunk.length) {
      const octet = chunk[at];
      const place = this.#place;
      if (place === 'start' && octet !== 0x2e) break;
      at++;
      if (place === 'start') {
        this.#place = 'dot';
      } else if (place === 'dot') {
        if (octet === 0x0d) {
          this.#place = 'dotCr';
          continue;
        }
        at--;
        this.#place = 'line';
      } else if (octet === 0x0a) {
        if (place === 'dotCr') {
          this.wireOctets += at - from - 3;
          this.#count(lead);
          return { text: lead, end: at };
        }
        lead += '\n';
        this.#place = 'start';
      } else {
        this.broken = true;
        at--;
        this.#place = 'line';
        if (octet === 0x0d) {
          at++;
          this.#place = 'cr';
        }
      }
    }
    if (at === chunk.length) {
      this.wireOctets += at - from;
      this.#count(lead);
      return { text: lead, end: -1 };
    }
    return this.#bulk(chunk, from, at, lead);
  }

  /** Whether a body that is delimited from outside (RFC 5321 wire form over HTTP) may end here: empty, or behind a CRLF. */
  get atLineStart(): boolean {
    return this.#place === 'start';
  }

  /** The rest of a chunk, from a place inside a line or at the start of one that does not begin with a dot. */
  #bulk(chunk: Buffer, from: number, at: number, lead: string): DataChunk {
    let text = chunk.toString('latin1', at);
    const firstDot = text.indexOf('\r\n.');
    const finalDot = firstDot < 0 ? -1 : text.indexOf('\r\n.\r\n', firstDot);
    let end = -1;
    if (finalDot >= 0) {
      text = text.slice(0, finalDot + 2);
      end = at + finalDot + 5;
      this.wireOctets += at + finalDot + 2 - from;
      this.#place = 'start';
    } else {
      this.wireOctets += chunk.length - from;
      this.#place = placeBehind(text);
    }
    if (!this.broken && brokenLine.test(text)) this.broken = true;
    if (firstDot >= 0) text = text.replaceAll('\r\n.', '\r\n');
    if (this.#place === 'dotCr') text = text.slice(0, -1);
    if (lead !== '') text = lead + text;
    this.#count(text);
    return { text, end };
  }

  #count(text: string): void {
    this.octets += text.length;
  }
}

function placeBehind(text: string): Place {
  if (text.endsWith('\r\n.\r')) return 'dotCr';
  if (text.endsWith('\r\n.')) return 'dot';
  if (text.endsWith('\r\n')) return 'start';
  return text.endsWith('\r') ? 'cr' : 'line';
}
