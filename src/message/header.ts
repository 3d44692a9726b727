/**
 * Header fields (RFC 5322 2.2), of a message or of a MIME part. The reader takes octets in any pieces up to the blank line; bounded
 * at 256 KiB and 1000 fields. Values keep their folding: they are spans of the octets as received.
 */
import { trimBlanks } from './text.ts';

export type HeaderField = Readonly<{
  /** Lower case, without the blanks that may stand before the colon (RFC 5322 4.5). */
  name: string;
  /** What follows the colon, folding included, without the last CRLF. */
  value: string;
  /** The whole field as received, without the last CRLF. */
  raw: string;
}>;

export type Header = readonly HeaderField[];

/** `oversize`: over 256 KiB or 1000 fields. `malformed`: a line that is neither a field nor a continuation. */
export type HeaderFault = 'oversize' | 'malformed';

export const maxHeaderOctets = 262_144;
const maxHeaderFields = 1000;

const blankLine = '\r\n\r\n';
/** Postfix reads lines of 2048 octets and breaks those over 998 when it sends them: a colon farther on would not be seen. */
export const maxLineOctets = 998;
// The same octets as Postfix takes for a field name; where it sees none, it ends the header.
const fieldStart = /^([\x21-\x39\x3b-\x7e]+)[ \t]*:/;

/**
 * Longer fields that the checks read are unusable: Postfix reads no more than 10,240 tokens or 102,400 octets of a field, and rewrites or
 * cuts what it has read, so others would see another one.
 */
const maxReadFieldOctets = 8192;

export class HeaderReader {
  #pieces: string[] = [];
  #octets = 0;
  /** How much of CRLF CRLF stands at the end of what was read; the CRLF before the header counts, so a blank first line ends it. */
  #matched = 2;

  /**
   * Reads `text` from `from` on. Returns the offset behind the blank line that ends the header, -1 while it goes on, or `oversize`.
   */
  feed(text: string, from: number): number | 'oversize' {
    let at = from;
    while (this.#matched > 0 && this.#matched < 4 && at < text.length) {
      if (text[at] === blankLine[this.#matched]) this.#matched++;
      else this.#matched = text[at] === '\r' ? 1 : 0;
      at++;
    }
    let end = this.#matched === 4 ? at : -1;
    if (end < 0 && at < text.length) {
      const found = text.indexOf(blankLine, at);
      end = found < 0 ? -1 : found + 4;
      if (end < 0) this.#matched = matchedAtEnd(text);
    }
    const stop = end < 0 ? text.length : end;
    this.#octets += stop - from;
    if (this.#octets > maxHeaderOctets) return 'oversize';
    this.#pieces.push(text.slice(from, stop));
    return end;
  }

  /** The fields read so far. */
  fields(): Header | HeaderFault {
    return parseHeader(this.#pieces.join(''));
  }
}

function matchedAtEnd(text: string): number {
  for (let length = 3; length > 0; length--) if (text.endsWith(blankLine.slice(0, length))) return length;
  return 0;
}

/**
 * Postfix makes another field of a first line that begins as in a mailbox file, and when it is folded lets it end the header. `From :`
 * alone only loses its place: see `beginsLikeMailbox`.
 */
const mailboxLine = /^(?:>+From |From [^\r\n]*\r\n[ \t])/;

/** Parses the lines of a header up to its end or a blank line. */
export function parseHeader(text: string): Header | HeaderFault {
  if (mailboxLine.test(text)) return 'malformed';
  const fields: HeaderField[] = [];
  let start = 0;
  while (start < text.length && !text.startsWith('\r\n', start)) {
    let end = text.indexOf('\r\n', start);
    while (end >= 0 && isBlank(text[end + 2])) end = text.indexOf('\r\n', end + 2);
    if (end < 0) end = text.length;
    if (fields.length === maxHeaderFields) return 'oversize';
    const raw = text.slice(start, end);
    const match = fieldStart.exec(raw);
    if (match === null || match[0].length > maxLineOctets) return 'malformed';
    fields.push({ name: (match[1] ?? '').toLowerCase(), value: raw.slice(match[0].length), raw });
    start = end + 2;
  }
  return fields;
}

function isBlank(octet: string | undefined): boolean {
  return octet === ' ' || octet === '\t';
}

/**
 * The value of the only field of that name (lower case), folding included: undefined where there is none, null where there are more or
 * where others may come to read another value, because Postfix cuts or rewrites long fields and breaks long lines.
 */
export function onlyField(header: Header, name: string): string | null | undefined {
  const [field, ...more] = header.filter(other => other.name === name);
  if (field === undefined) return undefined;
  const { raw, value } = field;
  const altered = raw.length > maxReadFieldOctets || raw.split('\r\n').some(line => line.length > maxLineOctets);
  return more.length > 0 || altered ? null : value;
}

/** The same unfolded and without outer blanks, null also where there is no field. */
export function onlyValue(header: Header, name: string): string | null {
  const value = onlyField(header, name) ?? null;
  return value === null ? null : trimBlanks(unfold(value));
}

/** Whether Postfix replaces the From field by one that names the envelope sender, because it stands first with a blank before its colon. */
export function beginsLikeMailbox([first]: Header): boolean {
  return first?.raw.startsWith('From ') ?? false;
}

/** Removes the CRLFs of folding (RFC 5322 2.2.3). */
export function unfold(value: string): string {
  return value.replaceAll('\r\n', '');
}
