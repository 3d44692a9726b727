// Mail from elsewhere, signed by its domain: with a signer that does every odd thing it is asked for.

import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { encryptedMail } from '../message/samples.ts';
import type { DnsServer } from '../peers/dns-server.ts';
import type { Mail } from './client.ts';
import { wire } from './mail.ts';

/** A selector of a domain (octet strings) with an ed25519 key. */
export type Author = Readonly<{ domain: string; selector: string; privateKey: KeyObject; record: string }>;

export function author(domain: string, selector = 's1'): Author {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  return { domain, selector, privateKey, record: `v=DKIM1; k=ed25519; p=${raw.toString('base64')}` };
}

export function nameOf({ domain, selector }: Pick<Author, 'domain' | 'selector'>): string {
  return `${selector}._domainkey.${domain}`;
}

export function publish(dns: DnsServer, author: Author): void {
  dns.txt(nameOf(author), [author.record]);
}

type Form = 'simple' | 'relaxed';
export type Signing = Readonly<{
  /** What d= says instead of the domain. */
  domain?: string;
  fields?: readonly string[];
  header?: Form;
  body?: Form;
  /** Further tags, each with its semicolon. */
  tags?: string;
  /** What becomes of the signature's octets. */
  spoil?: (signature: Buffer) => Buffer;
}>;

/** The message (octet string, dots as they are) with a DKIM-Signature on top. */
export function signed(author: Author, message: string, signing: Signing = {}): string {
  const { domain = author.domain, fields = ['From', 'Subject'], header = 'relaxed', body = 'relaxed' } = signing;
  const { tags = '', spoil = octets => octets } = signing;
  const end = message.indexOf('\r\n\r\n');
  const [head, text] = end < 0 ? [message, ''] : [message.slice(0, end + 2), message.slice(end + 4)];
  const lines = head.split(/\r\n(?![ \t])/).filter(line => line !== '');
  const hash = createHash('sha256').update(bodyIn(body, text), 'latin1').digest('base64');
  const field =
    `DKIM-Signature: v=1; a=ed25519-sha256; c=${header}/${body}; d=${domain}; s=${author.selector};\r\n` +
    `\th=${fields.join(':')}; ${tags}\r\n\tbh=${hash};\r\n\tb=`;
  const chosen = fields.flatMap(name => lines.findLast(line => nameIn(line) === name.toLowerCase()) ?? []);
  const covered = [...chosen.map(line => `${fieldIn(header, line)}\r\n`), fieldIn(header, field)].join('');
  const signature = sign(null, createHash('sha256').update(covered, 'latin1').digest(), author.privateKey);
  return `${field}${spoil(signature).toString('base64')}\r\n${message}`;
}

function nameIn(line: string): string {
  return line.slice(0, line.indexOf(':')).trimEnd().toLowerCase();
}

function fieldIn(form: Form, line: string): string {
  if (form === 'simple') return line;
  const value = line
    .slice(line.indexOf(':') + 1)
    .replaceAll('\r\n', '')
    .replace(/[ \t]+/g, ' ');
  return `${nameIn(line)}:${value.replace(/^ | $/g, '')}`;
}

function bodyIn(form: Form, text: string): string {
  const lines = form === 'simple' ? text : `${text}\r\n`.replace(/[ \t]+/g, ' ').replaceAll(' \r\n', '\r\n');
  const content = lines.replace(/(?:\r\n)+$/, '');
  return content === '' && form === 'relaxed' ? '' : `${content}\r\n`;
}

/** Spoils a signature: it has the right form and fits nothing. */
export const zeroes = (signature: Buffer) => Buffer.alloc(signature.length);

export const vic = 'vic@one.test';
export const me = 'me@two.test';

/** A whole message as octet string, in an envelope. */
export function letter(message: string, envelope: Partial<Mail> = {}): Mail {
  return { from: me, to: [vic], wire: wire(Buffer.from(message, 'latin1')), ...envelope };
}

/** An encrypted message with this header, each line with its CRLF. */
export function sealedBy(
  author: Author,
  header = `From: <${me}>\r\nSubject: [...]\r\n`,
  signing: Signing = {},
): string {
  return signed(author, encryptedMail({ header }), signing);
}

export function readableText(from = me, body = 'Hello\r\n'): string {
  return `From: <${from}>\r\nSubject: x\r\nContent-Type: text/plain\r\n\r\n${body}`;
}

/** A bounce as Postfix writes it. */
export function reportText(change: { from?: string; fields?: string; type?: string } = {}): string {
  const {
    from = 'MAILER-DAEMON@two.test',
    fields = 'Auto-Submitted: auto-replied\r\n',
    type = 'multipart/report; report-type=delivery-status',
  } = change;
  return (
    `From: Mail Delivery System <${from}>\r\nSubject: Undelivered Mail Returned to Sender\r\n${fields}MIME-Version: 1.0\r\n` +
    `Content-Type: ${type}; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n\r\n--b\r\n` +
    `Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; two.test\r\n\r\n--b--\r\n`
  );
}
