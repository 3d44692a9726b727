// What the octets after DATA mean (RFC 5321 4.5.2), said a second time without any thought of speed or chunks: the oracle of DataReader.

export type DataMeaning = {
  /** Offset behind the final dot line, or -1. */
  end: number;
  /** A bare CR, a bare LF or a NUL before the end. A CR that is the last octet so far is not judged yet. */
  broken: boolean;
  /** The message without the escaping dots; only of a message that ended. */
  text: string;
};

export function meaningOf(wire: string): DataMeaning {
  // DATA's own CRLF counts as the one before the first line (RFC 5321 4.1.1.4).
  const octets = `\r\n${wire}`;
  const finish = octets.indexOf('\r\n.\r\n');
  const message = finish < 0 ? octets : octets.slice(0, finish + 2);
  let broken = false;
  let text = '';
  for (let at = 2; at < message.length; at++) {
    const octet = message[at];
    const last = at === message.length - 1;
    if (octet === '\0') broken = true;
    if (octet === '\n' && message[at - 1] !== '\r') broken = true;
    if (octet === '\r' && !last && message[at + 1] !== '\n') broken = true;
    const escapes = octet === '.' && message[at - 2] === '\r' && message[at - 1] === '\n';
    if (!escapes) text += octet;
  }
  return { end: finish < 0 ? -1 : finish + 3, broken, text };
}

/** The wire form of a message: a dot in front of every line that begins with one. */
export function escaped(text: string): string {
  return text
    .split('\r\n')
    .map(line => (line.startsWith('.') ? `.${line}` : line))
    .join('\r\n');
}
