/**
 * A cursor over the body of a structured header field (RFC 5322 3.2): tokens, quoted strings, comments and folding white space.
 * Linear in the length; comments nest without recursion. All text is octet strings.
 */

const blanks = /[ \t\r\n]*/y;
const plainContent = /[^"\\]*/y;

export class FieldCursor {
  readonly text: string;
  at = 0;

  constructor(text: string) {
    this.text = text;
  }

  get done(): boolean {
    return this.at >= this.text.length;
  }

  get next(): string {
    return this.text[this.at] ?? '';
  }

  /** Takes `octet` when it is next. */
  take(octet: string): boolean {
    if (this.text[this.at] !== octet) return false;
    this.at++;
    return true;
  }

  /** Takes what `pattern` (sticky) matches here; null when it matches nothing. */
  match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    if (found === undefined || found === '') return null;
    this.at += found.length;
    return found;
  }

  /** Skips white space and comments (CFWS); false when a comment is not closed. */
  skipBlanks(): boolean {
    for (;;) {
      this.match(blanks);
      if (this.next !== '(') return true;
      let depth = 0;
      do {
        const octet = this.text[this.at++];
        if (octet === undefined) return false;
        if (octet === '\\') this.at++;
        else if (octet === '(') depth++;
        else if (octet === ')') depth--;
      } while (depth > 0);
    }
  }

  /** Takes a quoted string (RFC 5322 3.2.4) and returns its content without the escapes; null when it is not closed. */
  quotedString(): string | null {
    if (!this.take('"')) return null;
    let content = '';
    for (;;) {
      content += this.match(plainContent) ?? '';
      if (this.take('"')) return content.replaceAll('\r\n', '');
      if (!this.take('\\') || this.done) return null;
      content += this.next;
      this.at++;
    }
  }
}
