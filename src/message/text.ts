/** Octet strings (latin1, one character an octet) and what they say as text. */
import { isUtf8 as isUtf8Buffer } from 'node:buffer';

export function isAscii(octets: string): boolean {
  return !/[\x80-\xff]/.test(octets);
}

export function isUtf8(octets: string): boolean {
  return isAscii(octets) || isUtf8Buffer(Buffer.from(octets, 'latin1'));
}

/** Whether there is a control character, TAB included. */
export function hasControl(octets: string): boolean {
  return /[\0-\x1f\x7f]/.test(octets);
}

/**
 * Foreign text for a log line: printable ASCII without blanks as it is, all else in quotes with `\xNN` for every octet that is no
 * printable ASCII; at most `limit` octets of it.
 */
export function quoted(octets: string, limit = 320): string {
  if (octets.length <= limit && /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(octets)) return octets;
  const shown = octets
    .slice(0, limit)
    .replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, octet => `\\x${octet.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return `"${shown}${octets.length > limit ? '...' : ''}"`;
}

/** The same for text that is no octet string, such as a path or a system's message: in UTF-8. */
export function quotedText(text: string, limit = 1000): string {
  return quoted(Buffer.from(text, 'utf8').toString('latin1'), limit);
}

/** Without the blanks and line ends around it. A loop, because a pattern for the end would be quadratic in long runs of blanks. */
export function trimBlanks(octets: string): string {
  let start = 0;
  let end = octets.length;
  while (start < end && isBlank(octets.charCodeAt(start))) start++;
  while (end > start && isBlank(octets.charCodeAt(end - 1))) end--;
  return octets.slice(start, end);
}

function isBlank(octet: number): boolean {
  return octet === 0x20 || octet === 0x09 || octet === 0x0d || octet === 0x0a;
}
