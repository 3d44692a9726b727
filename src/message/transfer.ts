/** Undoes a part's transfer encoding (RFC 2045 6) while the part arrives. Strict: what only some readers would decode is a fault. */
import { Base64Reader } from './base64.ts';
import type { TransferEncoding } from './content-type.ts';

export interface TransferDecoder {
  /** Takes encoded octets, gives decoded ones to the sink; false once they are malformed. */
  feed(text: string): boolean;
  /** Tells the end; false when it is malformed. */
  end(): boolean;
}

type Sink = (text: string) => void;

export function transferDecoder(encoding: TransferEncoding, sink: Sink): TransferDecoder {
  switch (encoding) {
    case 'identity':
      return {
        feed: text => {
          sink(text);
          return true;
        },
        end: () => true,
      };
    case 'base64':
      return new Base64Decoder(sink);
    case 'quoted-printable':
      return new QuotedPrintableDecoder(sink);
  }
}

class Base64Decoder implements TransferDecoder {
  readonly #reader: Base64Reader;
  #padding = '';

  constructor(sink: Sink) {
    this.#reader = new Base64Reader(octets =>
      sink(Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('latin1')),
    );
  }

  feed(text: string): boolean {
    const equals = this.#padding === '' ? text.indexOf('=') : 0;
    if (equals < 0) return this.#reader.feed(text);
    const tail = text.slice(equals).replace(/[\r\n]+/g, '');
    this.#padding += tail.slice(0, 3);
    return /^={1,2}$/.test(this.#padding) && this.#reader.feed(text.slice(0, equals));
  }

  end(): boolean {
    return this.#reader.finish(this.#padding);
  }
}

const maxQuotedLine = 1000;

class QuotedPrintableDecoder implements TransferDecoder {
  readonly #sink: Sink;
  #line = '';

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  feed(text: string): boolean {
    const lines = text.split('\n');
    const last = lines.pop() ?? '';
    let decoded = '';
    for (const line of lines) {
      const whole = this.#decode(this.#line + line);
      this.#line = '';
      if (whole === null) return false;
      decoded += whole;
    }
    this.#line += last;
    if (decoded !== '') this.#sink(decoded);
    return this.#line.length <= maxQuotedLine;
  }

  end(): boolean {
    const whole = this.#line === '' ? '' : this.#decode(this.#line);
    if (whole === null) return false;
    // The CRLF behind the last line belongs to the delimiter.
    this.#sink(whole.replace(/\r\n$/, ''));
    return true;
  }

  /** One line without its LF; null when it is malformed. */
  #decode(encoded: string): string | null {
    if (encoded.length > maxQuotedLine) return null;
    const line = withoutTrailingBlanks(encoded);
    const soft = line.endsWith('=');
    const body = soft ? line.slice(0, -1) : line;
    if (/=(?![0-9A-Fa-f]{2})/.test(body)) return null;
    const decoded = body.replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    return soft ? decoded : `${decoded}\r\n`;
  }
}

/** Blanks and the CR at the end of a line were added on the way (RFC 2045 6.7, rule 3). */
function withoutTrailingBlanks(line: string): string {
  let end = line.length;
  while (end > 0 && ' \t\r'.includes(line[end - 1] ?? '')) end--;
  return line.slice(0, end);
}
