/** The commands of a mail transaction for the next hop, with what it announced (RFC 5321 4.1, RFC 1870, 3461, 6152, 6531). */
import type { ForwardedAttribute, Parameters, Recipient, ReversePath } from '../message/envelope.ts';
import { isAscii } from '../message/text.ts';
import type { Reply } from './reply.ts';

/** What the answer to EHLO announced: keywords in upper case with the words behind them. */
export type Extensions = ReadonlyMap<string, readonly string[]>;

export function parseExtensions({ lines }: Reply): Extensions {
  const extensions = new Map<string, readonly string[]>();
  for (const line of lines.slice(1)) {
    const [keyword = '', ...words] = line.split(' ').filter(word => word !== '');
    extensions.set(keyword.toUpperCase(), words);
  }
  return extensions;
}

/** The extension that a parameter belongs to, where it has another name. */
const extensionOf: Readonly<Record<string, string>> = {
  BODY: '8BITMIME',
  RET: 'DSN',
  ENVID: 'DSN',
  NOTIFY: 'DSN',
  ORCPT: 'DSN',
};

export function mailCommand({ address, parameters }: ReversePath, extensions: Extensions): string {
  return `MAIL FROM:<${address}>${offered(parameters, extensions)}\r\n`;
}

export function rcptCommand({ address, parameters }: Recipient, extensions: Extensions): string {
  return `RCPT TO:<${address}>${offered(parameters, extensions)}\r\n`;
}

function offered(parameters: Parameters, extensions: Extensions): string {
  let text = '';
  for (const [keyword, value] of parameters) {
    if (!extensions.has(extensionOf[keyword] ?? keyword)) continue;
    text += value === null ? ` ${keyword}` : ` ${keyword}=${value}`;
  }
  return text;
}

/**
 * Whether the transaction cannot go to a server without SMTPUTF8: it was asked for and an address needs it. Delta Chat asks for it
 * always, so the parameter alone says nothing.
 */
export function needsSmtpUtf8(from: ReversePath, recipients: readonly Recipient[]): boolean {
  return from.parameters.has('SMTPUTF8') && ![from, ...recipients].every(({ address }) => isAscii(address));
}

const maxXforwardOctets = 512;

/** XFORWARD commands with the attributes the server takes, values as they came, each command under 512 octets where that can be. */
export function xforwardCommands(attributes: readonly ForwardedAttribute[], extensions: Extensions): string[] {
  const taken = extensions.get('XFORWARD')?.map(word => word.toUpperCase()) ?? [];
  const commands: string[] = [];
  let command = '';
  for (const { name, value } of attributes) {
    if (!taken.includes(name)) continue;
    const word = ` ${name}=${value}`;
    if (command !== '' && `XFORWARD${command}${word}\r\n`.length >= maxXforwardOctets) {
      commands.push(`XFORWARD${command}\r\n`);
      command = '';
    }
    command += word;
  }
  if (command !== '') commands.push(`XFORWARD${command}\r\n`);
  return commands;
}
