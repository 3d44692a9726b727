/**
 * Reads a server's replies (RFC 5321 4.2) from octets that arrive in any pieces. Bounded: a reply of more than 64 KiB or 200 lines,
 * or a line that is no reply line, is a fault, and after a fault nothing is read.
 */
import type { Reply } from './reply.ts';

const maxReplyOctets = 65_536;
const maxReplyLines = 200;
const replyLine = /^([0-9]{3})(?:([ -])(.*))?$/s;

export type ReplyFault = 'reply too long' | 'not an SMTP reply';

export class ReplyReader {
  fault: ReplyFault | null = null;
  #pending = '';
  #octets = 0;
  #lines: string[] = [];
  #code = 0;

  /** Takes octets (latin1 text) and returns the replies they complete, in order. After a fault: none. */
  feed(text: string): Reply[] {
    const replies: Reply[] = [];
    let start = 0;
    while (this.fault === null) {
      const end = text.indexOf('\n', start);
      this.#octets += (end < 0 ? text.length : end + 1) - start;
      if (this.#octets > maxReplyOctets) {
        this.fault = 'reply too long';
        break;
      }
      if (end < 0) {
        this.#pending += text.slice(start);
        break;
      }
      const done = this.#line(this.#pending + text.slice(start, end));
      this.#pending = '';
      start = end + 1;
      if (done !== null) replies.push(done);
    }
    return replies;
  }

  /** True while a reply has begun and not ended. */
  get midReply(): boolean {
    return this.#octets > 0;
  }

  #line(line: string): Reply | null {
    const match = replyLine.exec(line.endsWith('\r') ? line.slice(0, -1) : line);
    const code = Number(match?.[1]);
    if (match === null || code < 200 || code > 599 || (this.#lines.length > 0 && code !== this.#code)) {
      this.fault = 'not an SMTP reply';
      return null;
    }
    this.#code = code;
    this.#lines.push(match[3] ?? '');
    if (match[2] === '-') {
      if (this.#lines.length >= maxReplyLines) this.fault = 'reply too long';
      return null;
    }
    const [first = '', ...rest] = this.#lines;
    this.#lines = [];
    this.#octets = 0;
    return { code, lines: [first, ...rest] };
  }
}
