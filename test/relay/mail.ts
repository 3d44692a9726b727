// Messages that the tests send: OpenPGP/MIME of any size, whose packets hold nothing but noise, and readable ones.

import { randomBytes } from 'node:crypto';

export interface Header {
  from: string;
  subject?: string;
  /** Of the Message-ID, before the `@localhost`. */
  id?: string;
  /** Further header lines, as they are. */
  extra?: readonly string[];
}

export interface Sealed extends Header {
  /** Octets that the encrypted packet holds. */
  size?: number;
  /** Characters in a line of armor. */
  lineLength?: number;
}

function header({ from, subject = '[...]', id = randomBytes(12).toString('hex'), extra = [] }: Header): string[] {
  return [
    `From: <${from}>`,
    'To: "hidden-recipients": ;',
    `Subject: ${subject}`,
    'Date: Mon, 16 Nov 2026 03:04:21 +0000',
    `Message-ID: <${id}@localhost>`,
    'MIME-Version: 1.0',
    ...extra,
  ];
}

/** A message that counts as encrypted: one PKESK and one SEIPD packet, as a key holder would find them. */
export function sealed(options: Sealed): Buffer {
  const boundary = randomBytes(16).toString('hex');
  const lines = [
    ...header(options),
    `Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";`,
    `\tboundary="${boundary}"`,
    '',
    `--${boundary}`,
    'Content-Type: application/pgp-encrypted',
    '',
    'Version: 1',
    '',
    `--${boundary}`,
    'Content-Type: application/octet-stream',
    '',
    '-----BEGIN PGP MESSAGE-----',
    '',
    armored(options.size ?? 900, options.lineLength ?? 76),
    '-----END PGP MESSAGE-----',
    '',
    `--${boundary}--`,
    '',
  ];
  return Buffer.from(lines.join('\r\n'));
}

function armored(size: number, lineLength: number): string {
  const key = Buffer.concat([Buffer.from([3]), randomBytes(8), Buffer.from([1, 8, 0]), randomBytes(256)]);
  const content = Buffer.concat([Buffer.from([1]), randomBytes(size)]);
  const text = Buffer.concat([packet(1, key), packet(18, content)]).toString('base64');
  const lines: string[] = [];
  for (let at = 0; at < text.length; at += lineLength) lines.push(text.slice(at, at + lineLength));
  return lines.join('\r\n');
}

/** A packet with a new-format header and a five-octet length (RFC 9580 4.2.1). */
function packet(tag: number, body: Buffer): Buffer {
  const head = Buffer.alloc(6);
  head.writeUInt8(0xc0 | tag, 0);
  head.writeUInt8(0xff, 1);
  head.writeUInt32BE(body.length, 2);
  return Buffer.concat([head, body]);
}

/** A message anyone can read. */
export function readable(options: Header, body: string | Buffer): Buffer {
  const lines = [
    ...header(options),
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: 8bit',
    '',
    '',
  ];
  return Buffer.concat([Buffer.from(lines.join('\r\n')), Buffer.from(body)]);
}
