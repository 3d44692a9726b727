/**
 * Cuts a multipart body (RFC 2046 5.1.1) into its parts while it arrives; one level, nested multiparts are the body of their part.
 * A line that begins with `--` boundary is a delimiter, the closing one, or, when anything but blanks follows, a fault: other
 * readers would disagree about it. After a fault nothing is delivered any more.
 */
import { type Header, HeaderReader, maxLineOctets } from './header.ts';

export type MultipartFault =
  | 'boundary'
  | 'transfer encoding'
  | 'delimiter line'
  | 'part header'
  | 'part header too large'
  | 'no closing delimiter';

export interface MultipartSink {
  /** Text before the first delimiter or after the closing one. */
  outside(where: 'preamble' | 'epilogue', text: string): void;
  partBegins(header: Header): void;
  body(text: string): void;
  partEnds(): void;
}

/** A boundary: 1 to 70 printable ASCII octets, the last no blank. Others would be read in different ways. */
export function isBoundary(boundary: string | null): boundary is string {
  return boundary !== null && /^[\x20-\x7e]{0,69}[\x21-\x7e]$/.test(boundary);
}

export class MultipartReader {
  fault: MultipartFault | null = null;
  readonly #sink: MultipartSink;
  readonly #dashBoundary: string;
  readonly #delimiter: string;
  /** What may follow the boundary in its line, CRLF included. */
  readonly #maxTail: number;
  #place: 'preamble' | 'delimiter' | 'header' | 'body' | 'epilogue' = 'preamble';
  /** The next octet begins a line whose CRLF is not part of the text before it, so a delimiter may stand here. */
  #lineStart = true;
  /** Octets that may turn out to be a delimiter. */
  #held = '';
  #tail = '';
  #header = new HeaderReader();

  constructor(boundary: string, sink: MultipartSink) {
    this.#sink = sink;
    this.#dashBoundary = `--${boundary}`;
    this.#delimiter = `\r\n--${boundary}`;
    this.#maxTail = maxLineOctets - this.#dashBoundary.length + 2;
  }

  feed(chunk: string, from = 0): void {
    const text = this.#held === '' ? chunk : this.#held + chunk.slice(from);
    let at = this.#held === '' ? from : 0;
    this.#held = '';
    while (at < text.length && this.fault === null) {
      if (this.#place === 'delimiter') at = this.#readDelimiterTail(text, at);
      else if (this.#place === 'header') at = this.#readHeader(text, at);
      else if (this.#place === 'epilogue') {
        this.#sink.outside('epilogue', at === 0 ? text : text.slice(at));
        return;
      } else at = this.#readText(text, at);
    }
  }

  end(): void {
    if (this.fault === null && this.#place !== 'epilogue') this.fault = 'no closing delimiter';
  }

  /** Text of the preamble or of a part's body, up to the next delimiter. */
  #readText(text: string, from: number): number {
    if (this.#lineStart) {
      const start = text.slice(from, from + this.#dashBoundary.length);
      if (start === this.#dashBoundary) return this.#delimiterAt(from + start.length);
      if (this.#dashBoundary.startsWith(start)) {
        this.#held = start;
        return text.length;
      }
      this.#lineStart = false;
    }
    // Base64 has no dash, and looking for one octet is several times as fast.
    const found = text.includes('--', from) ? text.indexOf(this.#delimiter, from) : -1;
    if (found >= 0) {
      this.#deliver(text, from, found);
      return this.#delimiterAt(found + this.#delimiter.length);
    }
    const held = this.#delimiterPrefixAtEnd(text, from);
    this.#deliver(text, from, text.length - held);
    this.#held = held === 0 ? '' : text.slice(-held);
    return text.length;
  }

  #delimiterAt(end: number): number {
    if (this.#place === 'body') this.#sink.partEnds();
    this.#place = 'delimiter';
    this.#tail = '';
    return end;
  }

  /** How many octets at the end of the text could be the beginning of a delimiter. */
  #delimiterPrefixAtEnd(text: string, from: number): number {
    let at = Math.max(from, text.length - this.#delimiter.length + 1);
    for (at = text.indexOf('\r', at); at >= 0; at = text.indexOf('\r', at + 1)) {
      if (this.#delimiter.startsWith(text.slice(at))) return text.length - at;
    }
    return 0;
  }

  #deliver(text: string, from: number, to: number): void {
    if (to <= from) return;
    const piece = from === 0 && to === text.length ? text : text.slice(from, to);
    if (this.#place === 'body') this.#sink.body(piece);
    else this.#sink.outside('preamble', piece);
  }

  #readDelimiterTail(text: string, from: number): number {
    const lf = text.indexOf('\n', from);
    const end = lf < 0 ? text.length : lf + 1;
    this.#tail += text.slice(from, Math.min(end, from + this.#maxTail + 1));
    const match = /^(--)?[ \t]*(?:\r\n)?$/.exec(this.#tail);
    // A tail of `-` or one that ends in CR may still become a delimiter.
    if (match === null && (lf >= 0 || !/^(?:-|(?:--)?[ \t]*\r?)$/.test(this.#tail))) this.fault = 'delimiter line';
    if (this.#tail.length > this.#maxTail) this.fault = 'delimiter line';
    if (lf >= 0 && match !== null) {
      this.#place = match[1] === undefined ? 'header' : 'epilogue';
      this.#header = new HeaderReader();
    }
    return end;
  }

  #readHeader(text: string, from: number): number {
    const end = this.#header.feed(text, from);
    if (end === 'oversize') {
      this.fault = 'part header too large';
      return text.length;
    }
    if (end < 0) return text.length;
    const fields = this.#header.fields();
    if (fields === 'oversize') this.fault = 'part header too large';
    // By name, not as written: Postfix takes away the blanks before a colon, and what is left may be a delimiter.
    else if (fields === 'malformed' || fields.some(({ name }) => name.startsWith('--'))) this.fault = 'part header';
    else {
      this.#place = 'body';
      this.#lineStart = true;
      this.#sink.partBegins(fields);
    }
    return end;
  }
}
