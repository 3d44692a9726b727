/** Made-up OpenPGP packets, armor and messages, right in every point that a case does not change. All text is octet strings. */
import { piecesOf } from './cuts.ts';

/** A packet in the new format (RFC 9580 4.2.1), its length as short as it can be unless `lengthOctets` says otherwise. */
export function packet(tag: number, body: string, lengthOctets?: 1 | 2 | 5): string {
  const octets = lengthOctets ?? (body.length < 192 ? 1 : body.length < 8384 ? 2 : 5);
  return String.fromCharCode(0xc0 | tag) + newLength(body.length, octets) + body;
}

/** A packet in the old format (RFC 9580 4.2.2); length type 3 is the indeterminate one. */
export function oldPacket(tag: number, body: string, lengthType: 0 | 1 | 2 | 3): string {
  const octets = [1, 2, 4, 0][lengthType] ?? 0;
  return String.fromCharCode(0x80 | (tag << 2) | lengthType) + bigEndian(body.length, octets) + body;
}

/** A packet of partial chunks, sizes powers of two, and a last chunk of any length. */
export function partialPacket(tag: number, chunkSizes: readonly number[], lastSize: number): string {
  const chunks = chunkSizes.map(size => String.fromCharCode(0xe0 | Math.log2(size)) + opaque(size));
  return String.fromCharCode(0xc0 | tag) + chunks.join('') + packet(0, opaque(lastSize)).slice(1);
}

function newLength(length: number, octets: 1 | 2 | 5): string {
  if (octets === 1) return String.fromCharCode(length);
  if (octets === 2) return String.fromCharCode(192 + ((length - 192) >> 8), (length - 192) & 0xff);
  return `\xff${bigEndian(length, 4)}`;
}

function bigEndian(value: number, octets: number): string {
  let text = '';
  for (let left = octets; left > 0; left--) text += String.fromCharCode(Math.floor(value / 256 ** (left - 1)) % 256);
  return text;
}

/** Octets of all values in an order that repeats late. */
export function opaque(length: number): string {
  return String.fromCharCode(...Array.from({ length }, (_, index) => (index * 167 + (index >> 8) * 31 + 1) & 0xff));
}

export const pkesk = packet(1, opaque(94));
export const skesk = packet(3, opaque(61));
export const seipd = packet(18, opaque(250));

export type ArmorOptions = Readonly<{ eol?: string; width?: number; headers?: readonly string[]; crc?: string | null }>;

export const beginLine = '-----BEGIN PGP MESSAGE-----';
export const endLine = '-----END PGP MESSAGE-----';

/** ASCII armor, its END line without line end. */
export function armored(packets: string, { eol = '\r\n', width = 64, headers = [], crc = '=abcd' }: ArmorOptions = {}) {
  const lines = [beginLine, ...headers, '', ...base64Lines(packets, width), ...(crc === null ? [] : [crc]), endLine];
  return lines.join(eol);
}

export function base64Lines(octets: string, width = 76): string[] {
  return piecesOf(Buffer.from(octets, 'latin1').toString('base64'), width);
}

export type EncryptedMail = Readonly<{
  /** Fields besides Content-Type, each line with its CRLF. */
  header: string;
  /** The whole Content-Type field of the message. */
  contentType: string;
  boundary: string;
  preamble: string;
  first: string;
  second: string;
  /** Further delimiters and parts, each beginning with a delimiter's CRLF. */
  more: string;
  close: string;
  epilogue: string;
}>;

export const versionPart = 'Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n';
export const octetStream = 'Content-Type: application/octet-stream\r\n';

/** A part with the armor in it. */
export function armorPart(armor = armored(pkesk + seipd), header = octetStream): string {
  return `${header}\r\n${armor}\r\n`;
}

export function encryptedMail(change: Partial<EncryptedMail> = {}): string {
  const { boundary = 'b' } = change;
  const mail: EncryptedMail = {
    header: 'From: <me@one.test>\r\nSubject: [...]\r\nMIME-Version: 1.0\r\n',
    contentType: `Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="${boundary}"\r\n`,
    boundary,
    preamble: '',
    first: versionPart,
    second: armorPart(),
    more: '',
    close: `\r\n--${boundary}--\r\n`,
    epilogue: '',
    ...change,
  };
  return (
    `${mail.header}${mail.contentType}\r\n${mail.preamble}--${boundary}\r\n${mail.first}\r\n--${boundary}\r\n` +
    `${mail.second}${mail.more}${mail.close}${mail.epilogue}`
  );
}

/** A securejoin request as Delta Chat writes it. */
export function securejoinMail(
  change: { fields?: string; type?: string; parts?: readonly string[]; tail?: string } = {},
) {
  const {
    fields = 'Secure-Join: vc-request\r\n',
    type = 'multipart/mixed',
    parts = ['Content-Type: text/plain; charset="utf-8"\r\n\r\nSecure-Join: vc-request'],
    tail = '',
  } = change;
  const body = parts.map(part => `--b\r\n${part}\r\n`).join('');
  return `From: <me@one.test>\r\n${fields}Content-Type: ${type}; boundary="b"\r\n\r\n${body}--b--\r\n${tail}`;
}
