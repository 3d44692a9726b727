/**
 * Content-Type (RFC 2045 5.1) as far as the checks need it. Strict, because another reader could see another boundary: a repeated
 * boundary, an RFC 2231 form of it, or text that is no parameter makes the field unusable, for a multipart also a comment, a quoted `;` or a `\`.
 */
import { type Header, onlyField } from './header.ts';
import { FieldCursor } from './structured.ts';

export type ContentType = Readonly<{
  /** Lower case. */
  type: string;
  /** Lower case. */
  subtype: string;
  /** The value of the boundary parameter, null without one. */
  boundary: string | null;
}>;

const token = /[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+/y;

/** What a header without Content-Type means (RFC 2045 5.2). */
const plainText: ContentType = { type: 'text', subtype: 'plain', boundary: null };

/** The content type of a header; null when the field is repeated or unusable. */
export function contentTypeOf(header: Header): ContentType | null {
  const value = onlyField(header, 'content-type');
  return value === undefined ? plainText : value === null ? null : parseContentType(value);
}

export function parseContentType(value: string): ContentType | null {
  const cursor = new FieldCursor(value);
  if (!cursor.skipBlanks()) return null;
  const type = cursor.match(token);
  if (type === null || !cursor.skipBlanks() || !cursor.take('/') || !cursor.skipBlanks()) return null;
  const subtype = cursor.match(token);
  if (subtype === null) return null;
  let boundary: string | null = null;
  for (;;) {
    if (!cursor.skipBlanks()) return null;
    if (cursor.done) break;
    if (!cursor.take(';') || !cursor.skipBlanks()) return null;
    if (cursor.done) continue;
    const parameter = readParameter(cursor);
    if (parameter === null || /^boundary\*/.test(parameter.name)) return null;
    if (parameter.name !== 'boundary') continue;
    if (boundary !== null) return null;
    boundary = parameter.value;
  }
  if (type.toLowerCase() === 'multipart' && isReadInTwoWays(value)) return null;
  return { type: type.toLowerCase(), subtype: subtype.toLowerCase(), boundary };
}

/** Readers that know no comments or no quotes find other parameters. */
function isReadInTwoWays(value: string): boolean {
  const quoted = value.match(/"[^"]*"/g) ?? [];
  return /[(\\]/.test(value.replace(/"[^"]*"/g, '')) || quoted.some(text => /[;\\]/.test(text));
}

function readParameter(cursor: FieldCursor): { name: string; value: string } | null {
  const name = cursor.match(token);
  if (name === null || !cursor.skipBlanks() || !cursor.take('=') || !cursor.skipBlanks()) return null;
  const value = cursor.next === '"' ? cursor.quotedString() : cursor.match(token);
  return value === null ? null : { name: name.toLowerCase(), value };
}

export type TransferEncoding = 'identity' | 'base64' | 'quoted-printable';

/** The transfer encoding of a part (RFC 2045 6); null when it is repeated or unknown. */
export function transferEncodingOf(header: Header): TransferEncoding | null {
  const value = onlyField(header, 'content-transfer-encoding');
  if (value === undefined) return 'identity';
  if (value === null) return null;
  const cursor = new FieldCursor(value);
  if (!cursor.skipBlanks()) return null;
  const name = cursor.match(token)?.toLowerCase();
  if (!cursor.skipBlanks() || !cursor.done) return null;
  switch (name) {
    case '7bit':
    case '8bit':
    case 'binary':
      return 'identity';
    case 'base64':
    case 'quoted-printable':
      return name;
    default:
      return null;
  }
}
