/**
 * The From field (RFC 5322 3.6.2): who the reader will see as the author. It must name exactly one mailbox, because a check of the
 * first says nothing of the second. Octet strings throughout.
 */
import { type Header, onlyField } from './header.ts';
import { FieldCursor } from './structured.ts';

const atom = /[^\x00-\x20()<>[\]:;@\\,."\x7f]+/y;
// Addresses (RFC 5321 4.1.3), not all of RFC 5322's dtext: with a quote or a parenthesis in it two readers could differ.
const literalText = /[0-9A-Za-z:.-]*/y;

/** The address of the only mailbox in the only From field, without comments, as written; null in every other case. */
export function authorOf(header: Header): string | null {
  const value = onlyField(header, 'from') ?? null;
  return value === null ? null : parseMailbox(value);
}

/**
 * Parses one mailbox: `addr-spec` or `[phrase] <addr-spec>`. Null for lists, groups, routes, quoted local parts that a Dot-string
 * could not spell, and anything malformed.
 */
export function parseMailbox(value: string): string | null {
  if (!encodedWordsAreInert(value)) return null;
  const cursor = new FieldCursor(value);
  if (!cursor.skipBlanks()) return null;
  const address = startsWithAddress(value) ? readAddress(cursor) : readNamed(cursor);
  return address !== null && cursor.skipBlanks() && cursor.done ? address : null;
}

/**
 * Whether no encoded word (RFC 2047) has an octet that means something to the parser of addresses, as 5 (3) demands: a reader that decodes
 * first takes the words out, and would find other quotes, comments and so another author.
 */
function encodedWordsAreInert(value: string): boolean {
  for (let start = value.indexOf('=?'); start >= 0; start = value.indexOf('=?', start + 2)) {
    const encoding = value.indexOf('?', start + 2);
    const text = encoding < 0 ? -1 : value.indexOf('?', encoding + 1);
    const end = text < 0 ? -1 : value.indexOf('?=', text + 1);
    if (end < 0) return true;
    if (/["()<>@,;:\\[\]]/.test(value.slice(start, end))) return false;
    start = end;
  }
  return true;
}

/** Whether the mailbox is a bare addr-spec: its `@` comes with no `<` before it, quoted strings and comments apart. */
function startsWithAddress(value: string): boolean {
  const cursor = new FieldCursor(value);
  while (cursor.skipBlanks() && !cursor.done) {
    if (cursor.next === '<') return false;
    if (cursor.next === '@') return true;
    if (cursor.next === '"') {
      if (cursor.quotedString() === null) return false;
    } else if (cursor.match(atom) === null) cursor.at++;
  }
  return false;
}

function readNamed(cursor: FieldCursor): string | null {
  // A phrase: words, and the dots that many clients leave unquoted (RFC 5322 4.1).
  while (cursor.next !== '<') {
    const word = cursor.next === '"' ? cursor.quotedString() : cursor.take('.') ? '.' : cursor.match(atom);
    if (word === null || !cursor.skipBlanks()) return null;
  }
  cursor.take('<');
  const address = cursor.skipBlanks() ? readAddress(cursor) : null;
  return address !== null && cursor.skipBlanks() && cursor.take('>') ? address : null;
}

function readAddress(cursor: FieldCursor): string | null {
  const localPart = cursor.next === '"' ? readQuotedLocalPart(cursor) : readDotted(cursor);
  if (localPart === null || !cursor.skipBlanks() || !cursor.take('@') || !cursor.skipBlanks()) return null;
  const domain = cursor.next === '[' ? readLiteral(cursor) : readDotted(cursor);
  return domain === null ? null : `${localPart}@${domain}`;
}

function readDotted(cursor: FieldCursor): string | null {
  let text = cursor.match(atom);
  if (text === null) return null;
  for (;;) {
    if (!cursor.skipBlanks()) return null;
    if (!cursor.take('.')) return text;
    if (!cursor.skipBlanks()) return null;
    const more = cursor.match(atom);
    if (more === null) return null;
    text += `.${more}`;
  }
}

function readQuotedLocalPart(cursor: FieldCursor): string | null {
  const content = cursor.quotedString();
  // Any other content can never equal a sender that is checked, and would only be a way to confuse.
  return content !== null && /^[^\x00-\x20()<>[\]:;@\\,"\x7f]+$/.test(content) ? content : null;
}

function readLiteral(cursor: FieldCursor): string | null {
  if (!cursor.take('[') || !cursor.skipBlanks()) return null;
  const text = cursor.match(literalText);
  return text !== null && cursor.skipBlanks() && cursor.take(']') ? `[${text}]` : null;
}
