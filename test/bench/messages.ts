// Messages for the bench: the PGP/MIME form that Delta Chat sends, with random octets where the cipher text would be.
// Line ends are LF because smtp-source -F reads lines and writes CRLF itself. No line begins with a dot.

import { randomBytes } from 'node:crypto';
import type { Signer } from '../peers/signer.ts';

export interface BenchMessage {
  /** What smtp-source -F reads. */
  readonly text: string;
  /** Octets of the message on the wire. */
  readonly octets: number;
}

export const mailDomain = 'bench.test';
export const sender = `alice@${mailDomain}`;
export const recipient = `bob@${mailDomain}`;

const boundary = '18e9f21ddbc2d77c_a4309adcbe1e47c6_633e686da8ff0c2e';

const head = `Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";
	boundary="${boundary}"
MIME-Version: 1.0
From: <${sender}>
To: "hidden-recipients": ;
Subject: [...]
Date: Mon, 16 Nov 2026 03:04:21 +0000
Message-ID: <ae515f0e-90ea-4786-9a93-0ec07916ecd8@localhost>
Chat-Version: 1.0


--${boundary}
Content-Type: application/pgp-encrypted; charset="utf-8"
Content-Transfer-Encoding: 7bit

Version: 1

--${boundary}
Content-Type: application/octet-stream; charset="utf-8"
Content-Transfer-Encoding: 7bit

-----BEGIN PGP MESSAGE-----

`;

const tail = `-----END PGP MESSAGE-----

--${boundary}--
`;

/** An encrypted message of about `size` octets on the wire. */
export function encryptedMessage(size: number): BenchMessage {
  const around = wireOctets(head + tail) + '=CRC2\r\n'.length;
  const packets = openPgpMessage(Math.floor(((size - around) * 48) / 66));
  const base64 = packets.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  const text = `${head}${base64}\n=${crc24(packets)}\n${tail}`;
  return { text, octets: wireOctets(text) };
}

/** The same, signed by its author's domain. */
export async function signedMessage(size: number, signer: Signer): Promise<BenchMessage> {
  const signed = await signer.sign(Buffer.from(encryptedMessage(size).text.replaceAll('\n', '\r\n'), 'latin1'));
  return { text: signed.toString('latin1').replaceAll('\r\n', '\n'), octets: signed.length };
}

function wireOctets(text: string): number {
  return text.length + text.split('\n').length - 1;
}

/** Two session keys and the encrypted data, about `size` octets in all (RFC 9580, 5.1.2 and 5.13.2). */
function openPgpMessage(size: number): Buffer {
  const keys = Buffer.concat([sessionKeyPacket(), sessionKeyPacket()]);
  const body = Buffer.concat([
    Buffer.from([2, 7, 2, 7]), // version 2, AES-128, OCB, chunk size
    randomBytes(size - keys.length - 10),
  ]);
  return Buffer.concat([keys, ...encryptedDataPacket(body)]);
}

/** PKESK version 6 for an anonymous X25519 key: what Delta Chat writes. */
function sessionKeyPacket(): Buffer {
  const point = [0x01, 0x07, 0x40, ...randomBytes(32)];
  const wrapped = [32, ...randomBytes(32)];
  const body = [6, 0, 18, ...point, ...wrapped];
  return Buffer.from([0xc0 | 1, body.length, ...body]);
}

/** SEIPD; in partial lengths of 512 KiB when it is larger, as rPGP does. */
function encryptedDataPacket(body: Buffer): Buffer[] {
  const partial = 19;
  const pieces: Buffer[] = [Buffer.from([0xc0 | 18])];
  let at = 0;
  for (; body.length - at > 1 << partial; at += 1 << partial) {
    pieces.push(Buffer.from([224 + partial]), body.subarray(at, at + (1 << partial)));
  }
  const last = Buffer.from([255, 0, 0, 0, 0]);
  last.writeUInt32BE(body.length - at, 1);
  pieces.push(last, body.subarray(at));
  return pieces;
}

/** RFC 9580, 6.1.1. */
function crc24(octets: Uint8Array): string {
  let crc = 0xb704ce;
  for (const octet of octets) {
    crc ^= octet << 16;
    for (let bit = 0; bit < 8; bit++) {
      crc <<= 1;
      if (crc & 0x1000000) crc ^= 0x1864cfb;
    }
  }
  return Buffer.from([crc >> 16, crc >> 8, crc]).toString('base64');
}
