/** Tag lists of DKIM signatures and key records (RFC 6376 3.2), as octet strings. Linear. */
import { trimBlanks } from '../../message/text.ts';

export type Tag = Readonly<{
  /** Without the folding white space around it. */
  value: string;
  /** Where the text between `=` and `;` stands in the list. */
  start: number;
  end: number;
}>;

/** Tags by name; names are case-sensitive. */
export type TagList = ReadonlyMap<string, Tag>;

const tagSpec = /^[ \t\r\n]*([A-Za-z][A-Za-z0-9_]*)[ \t\r\n]*=/;

/** Parses a list; null when it is malformed or has a tag twice. */
export function parseTags(text: string): TagList | null {
  const tags = new Map<string, Tag>();
  let start = 0;
  while (start < text.length) {
    const semicolon = text.indexOf(';', start);
    const end = semicolon < 0 ? text.length : semicolon;
    const spec = text.slice(start, end);
    const match = tagSpec.exec(spec);
    if (match === null) {
      if (semicolon < 0 && trimBlanks(spec) === '') break;
      return null;
    }
    const [head, name = ''] = match;
    if (tags.has(name)) return null;
    tags.set(name, { value: trimBlanks(spec.slice(head.length)), start: start + head.length, end });
    start = end + 1;
  }
  return tags;
}

/** The value without any white space: base64, numbers and names may be folded anywhere they say so. */
export function compact(value: string): string {
  return value.replace(/[ \t\r\n]+/g, '');
}

/** The octets of base64 that may be folded anywhere (RFC 6376 2.10); null when it is none. */
export function decodeBase64(value: string): Buffer | null {
  const text = compact(value);
  try {
    // A form feed would be passed over.
    return text.includes('\f') ? null : Buffer.from(Uint8Array.fromBase64(text));
  } catch {
    return null;
  }
}

/** A colon-separated list, blanks around the items removed, lower case. */
export function items(value: string): string[] {
  return value.split(':').map(item => trimBlanks(item).toLowerCase());
}
