// Bad messages over the real socket, and what each gets.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import {
  armored,
  armorPart,
  beginLine,
  encryptedMail,
  endLine,
  oldPacket,
  opaque,
  packet,
  partialPacket,
  pkesk,
  seipd,
} from '../message/samples.ts';
import { written } from './mail.ts';
import { Victim } from './victim.ts';

const readable = '523 Encryption Needed: Invalid Unencrypted Mail';
const headerTooLarge = /^552 5\.3\.4 /;
const badHeader = /^550 5\.6\.0 /;
const taken = /^250 /;

let victim: Victim;

before(async () => {
  victim = await Victim.start();
});

describe('headers', () => {
  const body = '\r\nHello\r\n';
  const from = 'From: <me@one.test>\r\n';
  const cases: [string, string, RegExp | string][] = [
    ['a field without end', `${from}X: ${'x'.repeat(400_000)}`, headerTooLarge],
    ['a folded field without end', `${from}X: y${'\r\n y'.repeat(100_000)}${body}`, headerTooLarge],
    ['a header of 30 MB', `${from}${`X: ${'y'.repeat(70)}\r\n`.repeat(400_000)}`, headerTooLarge],
    ['100,000 fields', `${from}${'A: b\r\n'.repeat(100_000)}${body}`, headerTooLarge],
    ['1001 fields', `${from}${'A: b\r\n'.repeat(1000)}${body}`, headerTooLarge],
    ['1000 fields', `${from}${'A: b\r\n'.repeat(999)}${body}`, readable],
    ['no end of the header', `${from}Subject: x\r\n`, readable],
    ['nothing at all', '', /^500 5\.6\.0 Invalid FROM header$/],
    ['only a blank line', '\r\n', /^500 5\.6\.0 Invalid FROM header$/],
    ['a line that is no field', `${from}no field\r\nFrom: <eve@one.test>\r\n${body}`, badHeader],
    ['a field name of 8-bit octets', `${from}S\xfcbject: x\r\n${body}`, badHeader],
    ['a field with an empty name', `${from}: x\r\n${body}`, badHeader],
    ['a continuation before any field', ` x\r\n${from}${body}`, badHeader],
    ['two From fields', `${from}${from}${body}`, /^500 5\.6\.0 Invalid FROM header$/],
    [
      'a second From with a blank before its colon',
      `${from}From : <eve@one.test>\r\n${body}`,
      /^500 5\.6\.0 Invalid FROM header$/,
    ],
    [
      '100,000 addresses in From',
      `From: ${'a@b.test, '.repeat(20_000)}\r\n${body}`,
      /^500 5\.6\.0 Invalid FROM header$/,
    ],
    ['nested comments in From', `From: ${'('.repeat(100_000)}\r\n${body}`, /^500 5\.6\.0 Invalid FROM header$/],
    [
      'balanced ones',
      `From: ${'('.repeat(50_000)}${')'.repeat(50_000)} <me@one.test>\r\n${body}`,
      /^5(?:00 5\.6\.0|23) /,
    ],
    ['an unclosed quote in From', `From: "${'\\"'.repeat(100_000)}\r\n${body}`, /^500 5\.6\.0 Invalid FROM header$/],
    ['another author', `From: <eve@one.test>\r\n${body}`, '500 5.7.1 Invalid FROM <eve@one.test> for <me@one.test>'],
    ['100,000 parameters', `${from}Content-Type: text/plain${';a=b'.repeat(100_000)}\r\n${body}`, headerTooLarge],
    ['60,000 parameters', `${from}Content-Type: multipart/encrypted${';a=b'.repeat(60_000)}\r\n${body}`, readable],
    [
      'a parameter of 200,000 quoted pairs',
      `${from}Content-Type: multipart/encrypted; boundary="${'\\a'.repeat(100_000)}"\r\n${body}`,
      readable,
    ],
    [
      'a field of 200,000 blanks',
      `${from}Content-Type: multipart/encrypted;${' '.repeat(200_000)}\r\n${body}`,
      readable,
    ],
  ];
  for (const [name, text, expected] of cases) test(name, () => victim.answers(written(text), expected));

  test('8-bit text in a header goes through as it is', () =>
    victim.answers(
      written(encryptedMail({ header: 'From: J\xfcrgen \xff <me@one.test>\r\nSubject: \xc3\xa4\xff\r\n' })),
      taken,
    ));
});

describe('MIME', () => {
  const parts = (boundary: string) => `--${boundary}\r\n\r\nx\r\n--${boundary}--\r\n`;
  const top = (boundary: string) =>
    `From: <me@one.test>\r\nContent-Type: multipart/encrypted; boundary="${boundary}"\r\n\r\n`;
  const nested = (depth: number) => {
    let text = 'x\r\n';
    for (let level = depth; level > 0; level--) {
      text = `Content-Type: multipart/mixed; boundary="b${level}"\r\n\r\n--b${level}\r\n${text}--b${level}--\r\n`;
    }
    return `From: <me@one.test>\r\n${text}`;
  };
  const cases: [string, string, RegExp | string][] = [
    ['the baseline', encryptedMail(), taken],
    ['a boundary of 70 octets', encryptedMail({ boundary: 'b'.repeat(70) }), taken],
    ['a boundary of 71 octets', encryptedMail({ boundary: 'b'.repeat(71) }), readable],
    ['a boundary of 1000 octets', encryptedMail({ boundary: 'b'.repeat(1000) }), readable],
    ['a boundary of 0 octets', `${top('')}${parts('')}`, readable],
    ['no final boundary', encryptedMail({ close: '' }), readable],
    [
      'two boundaries',
      encryptedMail({ contentType: 'Content-Type: multipart/encrypted; boundary="b"; boundary="c"\r\n' }),
      readable,
    ],
    [
      'a nested multipart as second part',
      encryptedMail({ second: `Content-Type: multipart/mixed; boundary="c"\r\n\r\n${parts('c')}` }),
      readable,
    ],
    [
      'the same boundary nested',
      encryptedMail({ second: `Content-Type: multipart/mixed; boundary="b"\r\n\r\n${parts('b')}` }),
      readable,
    ],
    ['nesting 1000 deep', nested(1000), readable],
    ['100,000 parts', `${top('b')}${'--b\r\n\r\nx\r\n'.repeat(100_000)}--b--\r\n`, readable],
    ['100,000 lines that begin like a delimiter', encryptedMail({ preamble: '--bx\r\n'.repeat(100_000) }), readable],
    [
      'a part with a header of 300 KiB',
      encryptedMail({ second: `X: ${'y'.repeat(300_000)}\r\n\r\nz\r\n` }),
      headerTooLarge,
    ],
    ['a part with 1001 fields', encryptedMail({ second: `${'A: b\r\n'.repeat(1001)}\r\nz\r\n` }), headerTooLarge],
    ['text before the first boundary', encryptedMail({ preamble: 'Hello\r\n' }), readable],
    ['text after the last boundary', encryptedMail({ epilogue: 'Hello\r\n' }), readable],
    ['a third part', encryptedMail({ more: '\r\n--b\r\n\r\nHello\r\n' }), readable],
  ];
  for (const [name, text, expected] of cases) test(name, () => victim.answers(written(text), expected));
});

describe('armor and packets', () => {
  const inside = (armor: string) => encryptedMail({ second: armorPart(armor) });
  const good = armored(pkesk + seipd);
  const wrong = (needle: string, instead: string) => {
    assert.ok(good.includes(needle));
    return good.replace(needle, instead);
  };
  const [firstLine = ''] = good.split('\r\n').slice(2);
  const cases: [string, string, RegExp | string][] = [
    ['BEGIN line', wrong(beginLine, '-----BEGIN PGP MESSAGE----'), readable],
    ['no blank line', wrong(`${beginLine}\r\n\r\n`, `${beginLine}\r\n`), readable],
    ['an armor header', armored(pkesk + seipd, { headers: ['Comment: hi'] }), readable],
    ['first octet of the data', wrong(firstLine, `!${firstLine.slice(1)}`), readable],
    ['an octet in the data', wrong(firstLine, `${firstLine.slice(0, 30)}*${firstLine.slice(31)}`), readable],
    ['8-bit in the data', wrong(firstLine, `${firstLine.slice(0, 30)}\xc3${firstLine.slice(31)}`), readable],
    ['padding in the data', wrong(firstLine, `${firstLine.slice(0, 30)}==${firstLine.slice(32)}`), readable],
    ['a comment line in the data', wrong(firstLine, `${firstLine}\r\nHello, Bob`), readable],
    ['CRC24 of 3 characters', armored(pkesk + seipd, { crc: '=abc' }), readable],
    ['CRC24 of 5 characters', armored(pkesk + seipd, { crc: '=abcde' }), readable],
    ['CRC24 that is no base64', armored(pkesk + seipd, { crc: '=ab!d' }), readable],
    ['text in place of the CRC24', armored(pkesk + seipd, { crc: '=Hello Bob, see you' }), readable],
    ['two CRC24 lines', armored(pkesk + seipd, { crc: '=abcd\r\n=abcd' }), readable],
    ['wrong but well-formed CRC24', armored(pkesk + seipd, { crc: '=AAAA' }), taken],
    ['no CRC24', armored(pkesk + seipd, { crc: null }), taken],
    ['END line', wrong(endLine, '-----END PGP MESSAGE----'), readable],
    ['text behind the END line', `${good}\r\nHello`, readable],
    ['two messages', `${good}\r\n${good}`, readable],
    ['a packet that overruns', armored(`${pkesk + seipd.slice(0, -1)}`), readable],
    ['octets behind the last packet', armored(`${pkesk + seipd}x`), readable],
    ['a length of 4 GiB', armored(`${pkesk}\xd2\xff\xff\xff\xff\xff${opaque(100)}`), readable],
    ['no packet', armored(''), readable],
    ['a literal packet', armored(packet(11, 'b\0\0\0\0\0Hello')), readable],
    ['a marker packet', armored(packet(10, 'PGP') + pkesk + seipd), readable],
    ['a padding packet', armored(pkesk + seipd + packet(21, opaque(50))), readable],
    ['a packet behind the encrypted one', armored(seipd + pkesk), readable],
    ['two encrypted packets', armored(pkesk + seipd + seipd), readable],
    ['partial lengths, the first of 1', armored(pkesk + partialPacket(18, [1, 1, 1, 1], 5)), readable],
    ['partial lengths, the first of 256', armored(pkesk + partialPacket(18, [256], 5)), readable],
    [
      'partial lengths of 1 behind 512',
      armored(pkesk + partialPacket(18, [512, ...Array<number>(3000).fill(1)], 5)),
      taken,
    ],
    ['a partial length without the last one', armored(pkesk + partialPacket(18, [512], 5).slice(0, -6)), readable],
    ['partial lengths in a session key packet', armored(partialPacket(1, [512], 5) + seipd), readable],
    ['an indeterminate length', armored(oldPacket(1, opaque(94), 3) + seipd), readable],
    ['100,000 session key packets', armored(pkesk.repeat(100_000) + seipd), taken],
  ];
  for (const [name, armor, expected] of cases) test(name, () => victim.answers(written(inside(armor)), expected));
});

test('after all of it, the process is as good as new', () => victim.unharmed());
