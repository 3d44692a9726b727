// Dialogues in text files. A line of a file is
//
//     # a comment
//     protocol LMTP       else SMTP
//     C: text             the client sends the text and CRLF
//     c: text             the client sends the text alone
//     S: text             the server sends the text and CRLF
//     D: <from> <to> ...  a message is delivered; `|` and its wire form follow
//     --- closed          the server closes the connection
//     --- gone            the client closes the connection
//
// `\r \n \t \\ \xNN` stand for octets, `\{x*100}` for a hundred times x; a file is UTF-8 and its characters stand for their octets.

import { readdirSync, readFileSync } from 'node:fs';

export type Delivery = { from: string; to: string[]; wire: string };

/** What the client sends in one go and what it then gets. */
export type Step = { send: string; expect: string };

export type Transcript = {
  name: string;
  protocol: 'SMTP' | 'LMTP';
  steps: Step[];
  deliveries: Delivery[];
  end: 'closed' | 'gone' | 'open';
};

export function octetsOf(text: string): string {
  return Buffer.from(text)
    .toString('latin1')
    .replace(/\\(?:([rnt\\])|x([0-9a-f]{2})|\{(.+?)\*(\d+)\})/g, (_, letter, hex, repeated, count) => {
      if (letter !== undefined) return { r: '\r', n: '\n', t: '\t' }[letter as string] ?? '\\';
      return hex === undefined
        ? octetsOf(repeated).repeat(Number(count))
        : String.fromCharCode(Number.parseInt(hex, 16));
    });
}

export function parseTranscript(name: string, source: string): Transcript {
  const transcript: Transcript = {
    name,
    protocol: 'SMTP',
    steps: [{ send: '', expect: '' }],
    deliveries: [],
    end: 'open',
  };
  for (const line of source.split('\n')) {
    const [, mark, text = ''] = /^(C:|c:|S:|D:|---|protocol) ?(.*)$/.exec(line) ?? [];
    let step = transcript.steps.at(-1);
    if (mark === undefined) {
      if (line !== '' && !line.startsWith('#')) throw new Error(`${name}: what is ${JSON.stringify(line)}?`);
    } else if (mark === 'C:' || mark === 'c:') {
      if (step === undefined || step.expect !== '') transcript.steps.push((step = { send: '', expect: '' }));
      step.send += octetsOf(text) + (mark === 'C:' ? '\r\n' : '');
    } else if (mark === 'S:') {
      if (step !== undefined) step.expect += `${octetsOf(text)}\r\n`;
    } else if (mark === 'D:') {
      const [, envelope = '', wire = ''] = /^(.*?) ?\| ?(.*)$/.exec(text) ?? [];
      const [from = '', ...to] = envelope.split(' ').map(address => octetsOf(address).slice(1, -1));
      transcript.deliveries.push({ from, to, wire: octetsOf(wire) });
    } else if (mark === 'protocol') transcript.protocol = text === 'LMTP' ? 'LMTP' : 'SMTP';
    else transcript.end = text === 'closed' ? 'closed' : 'gone';
  }
  return transcript;
}

export function transcriptFiles(folder: string): { name: string; source: string }[] {
  return readdirSync(folder)
    .filter(file => file.endsWith('.txt'))
    .map(file => ({ name: file, source: readFileSync(`${folder}/${file}`, 'utf8') }));
}

const messageSize = /^<message, (\d+) bytes>$/;

/**
 * A recorded dialogue with Postfix, whose server was another one. Only the client's part counts, and every command of it must be
 * taken; `onMessage` supplies the message, which the recording shows by its size alone.
 */
export function parseRecording(
  name: string,
  source: string,
): { protocol: 'SMTP' | 'LMTP'; commands: string[]; recipients: number } {
  const commands: string[] = [];
  for (const line of source.split('\n')) {
    if (!line.startsWith('C: ')) continue;
    const text = line.slice(3);
    const size = messageSize.exec(text)?.[1];
    commands.push(size === undefined ? `${text}\r\n` : messageOf(Number(size)));
  }
  if (commands.length === 0) throw new Error(`${name}: nothing is said`);
  return {
    protocol: commands[0]?.startsWith('LHLO') ? 'LMTP' : 'SMTP',
    commands,
    recipients: commands.filter(command => command.startsWith('RCPT ')).length,
  };
}

/** A message whose wire form has `size` octets in front of its last CRLF, with some lines that begin with a dot. */
function messageOf(size: number): string {
  const header = 'From: <t1@one.test>\r\nTo: <t2@two.test>\r\n\r\n';
  const line = '..dotted, and 8-bit: \xc3\xa4\r\n';
  const room = size - header.length;
  const lines = Math.floor(room / line.length);
  return `${header}${line.repeat(lines)}${'x'.repeat(room - lines * line.length)}\r\n`;
}
