/**
 * SMTP replies (RFC 5321 4.2, RFC 2034), ours and those of remote servers.
 * Texts are octet strings: one character an octet (latin1). Whatever goes into a Reply, `formatReply` writes a well-formed one.
 */

/** A reply: three-digit code and its text lines, the enhanced status code (if any) being the start of each text. */
export type Reply = Readonly<{ code: number; lines: readonly [string, ...string[]] }>;

/** Subject and detail of an enhanced status code (RFC 3463); the class comes from the reply code, so the two cannot disagree. */
export type StatusDetail = `${number}.${number}`;

const maxLineOctets = 512;

/** A reply with an enhanced status code: `reply(550, '6.0', 'Bad data')` is `550 5.6.0 Bad data`. */
export function reply(code: number, detail: StatusDetail, text: string): Reply {
  return { code, lines: [`${Math.floor(code / 100)}.${detail} ${text}`] };
}

/** A reply whose text is given whole: one without an enhanced status code, or another server's. */
export function bareReply(code: number, ...lines: [string, ...string[]]): Reply {
  return { code, lines };
}

export function isPositive(answer: Reply): boolean {
  return answer.code >= 200 && answer.code < 300;
}

/** Another server's answer as ours: 421 speaks of that server's connection and becomes 451. */
export function relayed(answer: Reply): Reply {
  return answer.code === 421 ? { code: 451, lines: answer.lines } : answer;
}

/** One line for a log: code and text, lines joined by ` / `. */
export function describeReply(answer: Reply): string {
  return `${answer.code} ${answer.lines.join(' / ')}`;
}

/** The wire form, as an octet string. Control characters, and what is no octet and could become one, become `?`, lines are cut at 512 octets, CRLF included (RFC 5321 4.5.3.1.5). */
export function formatReply(answer: Reply): string {
  const last = answer.lines.length - 1;
  let wire = '';
  for (const [index, line] of answer.lines.entries()) {
    const clean = line.replace(/[^\x20-\x7e\x80-\xff]/g, '?').slice(0, maxLineOctets - 6);
    wire += `${answer.code}${index === last ? ' ' : '-'}${clean}\r\n`;
  }
  return wire;
}
