/** Paths in MAIL and RCPT (RFC 5321 4.1.2): finds where one ends and keeps its octets as they are. */

export type PathEnd = { end: number } | { fault: 'syntax' | 'address' };

/**
 * Finds the `>` that closes the path opened by `<` at `start`. Quotes and backslashes hide a `>`. A control character, an unbalanced
 * quote or an unquoted `<` makes the address unusable; no `>` at all is bad syntax.
 */
export function findPathEnd(line: string, start: number): PathEnd {
  let inQuotes = false;
  let unusable = false;
  for (let at = start + 1; at < line.length; at++) {
    const octet = line.charCodeAt(at);
    if (isControl(octet)) unusable = true;
    else if (octet === 0x5c) unusable ||= isControl(line.charCodeAt(++at));
    else if (octet === 0x22) inQuotes = !inQuotes;
    else if (inQuotes) continue;
    else if (octet === 0x3e) return unusable ? { fault: 'address' } : { end: at };
    else if (octet === 0x3c) unusable = true;
  }
  return { fault: inQuotes || unusable ? 'address' : 'syntax' };
}

function isControl(octet: number): boolean {
  return octet < 0x20 || octet === 0x7f;
}
