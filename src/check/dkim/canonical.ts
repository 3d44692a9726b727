/** Header canonicalization (RFC 6376 3.4.1, 3.4.2), as octet strings. Linear. */
import type { Canonicalization } from '../../message/body-digest.ts';
import { unfold } from '../../message/header.ts';
import { trimBlanks } from '../../message/text.ts';

/** One field in canonical form, without a CRLF at its end. */
export function canonicalField(raw: string, canonicalization: Canonicalization): string {
  if (canonicalization === 'simple') return raw;
  const colon = raw.indexOf(':');
  const name = trimBlanks(raw.slice(0, colon)).toLowerCase();
  const value = unfold(raw.slice(colon + 1)).replace(/[ \t]+/g, ' ');
  return `${name}:${trimBlanks(value)}`;
}
