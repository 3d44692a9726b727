/**
 * What Python calls a line and a blank: `chatmail.ini` is shared with Python programs, and JavaScript's `trim` and `\s`
 * differ (they take U+FEFF for a blank, and U+0085 and U+001C to U+001F for text).
 */

const BLANK = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;
const BLANKS = new RegExp(`${BLANK.source}+`);
const LINE_END = /\r\n|[\n-\r\x1c-\x1e\x85\u2028\u2029]/;

/** `str.isspace` of one UTF-16 unit; false for the empty string. */
export const isBlank = (unit: string): boolean => BLANK.test(unit);

/** `str.splitlines`, without the line ends; the text after the last one is a line too, even when it is empty. */
export const splitLines = (text: string): string[] => text.split(LINE_END);

/** `str.split()`: the words between blanks. */
export const splitWords = (text: string): string[] => text.split(BLANKS).filter(word => word !== '');

/** `str.rstrip`. A loop, because a regular expression anchored at the end is quadratic in long runs of blanks. */
export function stripEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isBlank(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}

/** `str.strip`. */
export function strip(text: string): string {
  let start = 0;
  while (start < text.length && isBlank(text.charAt(start))) start++;
  return stripEnd(text.slice(start));
}
