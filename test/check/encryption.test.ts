import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSecurejoinRequest, type Unencrypted, whyUnencrypted } from '../../src/check/encryption.ts';
import { readInAllCuts } from '../message/cuts.ts';
import {
  armored,
  armorPart,
  base64Lines,
  beginLine,
  type EncryptedMail,
  encryptedMail,
  octetStream,
  opaque,
  packet,
  partialPacket,
  pkesk,
  securejoinMail,
  seipd,
  skesk,
  versionPart,
} from '../message/samples.ts';
import { scan } from '../message/scan.ts';

function reasons(mail: string): { outgoing: Unencrypted | null; incoming: Unencrypted | null } {
  return readInAllCuts(mail, pieces => {
    const evidence = scan(pieces);
    return {
      outgoing: whyUnencrypted(evidence, 'outgoing')?.reason ?? null,
      incoming: whyUnencrypted(evidence, 'incoming')?.reason ?? null,
    };
  });
}

type Change = Partial<EncryptedMail>;
const type = (value: string): Change => ({ contentType: `Content-Type: ${value}\r\n` });
const second = (armor: string, header?: string): Change => ({ second: armorPart(armor, header) });
const encoding = (name: string) => `${octetStream}Content-Transfer-Encoding: ${name}\r\n`;

const encrypted: [name: string, change: Change][] = [
  ['as RFC 3156 has it', {}],
  ['a blank line before the first delimiter', { preamble: '\r\n' }],
  ['blank lines behind the last delimiter', { epilogue: '\r\n\r\n' }],
  [
    'types in capitals',
    { ...type('MULTIPART/ENCRYPTED; BOUNDARY=b'), first: versionPart.toUpperCase().replace('VERSION', 'Version') },
  ],
  ['no protocol parameter', type('multipart/encrypted; boundary=b')],
  ['a boundary of 1 octet', { boundary: 'x' }],
  ['a boundary of 70 octets', { boundary: 'x'.repeat(70) }],
  ['a boundary of dashes', { boundary: '----------' }],
  ['blanks behind the delimiters', { close: '\r\n--b-- \t\r\n' }],
  [
    'a Content-Type with a blank before the colon',
    { contentType: 'Content-Type : multipart/encrypted; boundary=b\r\n' },
  ],
  ['no MIME-Version', { header: 'From: me@one.test\r\n' }],
  [
    'a version in base64',
    { first: 'Content-Type: application/pgp-encrypted\r\nContent-Transfer-Encoding: base64\r\n\r\nVmVyc2lvbjogMQ==' },
  ],
  ['a version among blank lines', { first: `Content-Type: application/pgp-encrypted\r\n\r\n\r\n Version: 1 \r\n\r\n` }],
  [
    'a version with a described type',
    { first: versionPart.replace('\r\n', '; charset="utf-8"\r\nContent-Description: version\r\n') },
  ],
  ['armor in base64', second(base64Lines(armored(pkesk + seipd)).join('\r\n'), encoding('base64'))],
  [
    'armor with LF in base64',
    second(base64Lines(armored(pkesk + seipd, { eol: '\n' })).join('\r\n'), encoding('base64')),
  ],
  ['armor in quoted-printable', second(armored(pkesk + seipd).replaceAll('=', '=3D'), encoding('quoted-printable'))],
  ['no CRC line', second(armored(pkesk + seipd, { crc: null }))],
  ['a wrong CRC', second(armored(pkesk + seipd, { crc: '=AAAA' }))],
  ['blank lines behind the armor', second(`${armored(pkesk + seipd)}\r\n\r\n\r\n`)],
  ['a password only', second(armored(skesk + seipd))],
  ['no key at all', second(armored(seipd))],
  ['many keys', second(armored(pkesk.repeat(100) + seipd))],
  ['partial lengths', second(armored(pkesk + partialPacket(18, [512, 1024], 3)))],
];

const unencrypted: [reason: Unencrypted, name: string, change: Change][] = [
  ['top type is not multipart/encrypted', 'multipart/mixed', type('multipart/mixed; boundary=b')],
  ['top type is not multipart/encrypted', 'multipart/signed', type('multipart/signed; boundary=b')],
  ['top type is not multipart/encrypted', 'text/encrypted', type('text/encrypted; boundary=b')],
  ['top type is not multipart/encrypted', 'message/encrypted', type('message/encrypted; boundary=b')],
  ['top type is not multipart/encrypted', 'no Content-Type', { contentType: '' }],
  ['top type is not multipart/encrypted', 'a malformed Content-Type', type('multipart/encrypted boundary=b')],
  [
    'top type is not multipart/encrypted',
    'two Content-Type fields',
    { contentType: 'Content-Type: multipart/encrypted; boundary=b\r\nContent-Type: text/plain\r\n' },
  ],
  ['top type is not multipart/encrypted', 'two boundaries', type('multipart/encrypted; boundary=b; boundary=c')],
  ['top type is not multipart/encrypted', 'an RFC 2231 boundary', type("multipart/encrypted; boundary*=us-ascii''b")],
  ['top type is not multipart/encrypted', 'RFC 2231 pieces', type('multipart/encrypted; boundary*0=b; boundary*1=""')],
  ['top type is not multipart/encrypted', 'a comment in Content-Type', type('multipart/encrypted (a); boundary=b')],
  [
    'top type is not multipart/encrypted',
    'another boundary in a quoted parameter',
    type('multipart/encrypted; boundary="b"; x="; boundary=evil; y="'),
  ],
  ['top type is not multipart/encrypted', 'an escape in the boundary', type('multipart/encrypted; boundary="\\b"')],
  ['malformed multipart', 'no boundary', type('multipart/encrypted')],
  ['malformed multipart', 'an empty boundary', { boundary: '' }],
  ['malformed multipart', 'a boundary of 71 octets', { boundary: 'b'.repeat(71) }],
  ['top type is not multipart/encrypted', 'a boundary of 1000 octets', { boundary: 'b'.repeat(1000) }],
  [
    'top type is not multipart/encrypted',
    'a boundary that Postfix breaks in two, for readers another one',
    {
      contentType: `Content-Type: multipart/encrypted; x="${'a'.repeat(945)}"; boundary="b:ycc"\r\n`,
      boundary: 'b:ycc',
    },
  ],
  // Postfix takes the blank away, and for readers a part begins there.
  [
    'malformed multipart',
    'a delimiter in a part header that a blank before its colon hides',
    { boundary: 'b:x', second: armorPart(undefined, `${octetStream}--b :x\r\n`) },
  ],
  ['malformed multipart', 'another boundary', type('multipart/encrypted; boundary=c')],
  ['malformed multipart', 'the boundary in another case', type('multipart/encrypted; boundary=B')],
  ['malformed multipart', 'a delimiter line that goes on', { close: '\r\n--b-- readable\r\n' }],
  ['malformed multipart', 'a line that begins as a delimiter', { first: `${versionPart}--bx\r\n` }],
  ['malformed multipart', 'no closing delimiter', { close: '' }],
  ['malformed multipart', 'a delimiter for the closing one', { close: '\r\n--b\r\n' }],
  ['malformed multipart', 'a part header with a line that is no field', { first: `readable\r\n${versionPart}` }],
  ['malformed multipart', 'a part header without end', { second: octetStream, close: '--b--\r\n' }],
  [
    'not exactly two parts',
    'none',
    { first: '', second: '', ...type('multipart/encrypted; boundary=b'), boundary: 'b', preamble: '--b--\r\n' },
  ],
  ['not exactly two parts', 'three', { more: '\r\n--b\r\nContent-Type: text/plain\r\n\r\nreadable' }],
  ['not exactly two parts', 'an empty third one', { more: '\r\n--b\r\n\r\n' }],
  ['not exactly two parts', 'a thousand', { more: '\r\n--b\r\n\r\nreadable'.repeat(1000) }],
  ['text outside the parts', 'behind the last delimiter', { epilogue: 'readable\r\n' }],
  ['text outside the parts', 'behind blank lines', { epilogue: '\r\n\r\nreadable\r\n' }],
  ['text outside the parts', 'more parts behind the last delimiter', { epilogue: '--b\r\n\r\nreadable\r\n--b--\r\n' }],
  ['text outside the parts', 'a no-break space behind', { epilogue: '\xa0\r\n' }],
  ['text outside the parts', '8-bit before the first delimiter', { preamble: 'caf\xe9\r\n' }],
  ['text outside the parts', '257 octets before the first delimiter', { preamble: `${'x'.repeat(257)}\r\n` }],
  ['text outside the parts', 'a control character before', { preamble: 'a\x1bb\r\n' }],
  ['first part is not the version', 'Version: 2', { first: versionPart.replace('1', '2') }],
  ['first part is not the version', 'lower case', { first: versionPart.replace('Version', 'version') }],
  ['first part is not the version', 'no blank', { first: versionPart.replace('Version: ', 'Version:') }],
  ['first part is not the version', 'two blanks', { first: versionPart.replace('Version: ', 'Version:  ') }],
  ['first part is not the version', 'text behind', { first: `${versionPart}readable\r\n` }],
  ['first part is not the version', 'text before', { first: versionPart.replace('Version', 'readable\r\nVersion') }],
  ['first part is not the version', 'a no-break space behind', { first: versionPart.replace('1', '1\xa0') }],
  [
    'first part is not the version',
    '2000 blanks before',
    { first: versionPart.replace('Version', `${' '.repeat(2000)}Version`) },
  ],
  ['first part is not the version', 'nothing', { first: versionPart.replace('Version: 1', '') }],
  [
    'first part is not the version',
    'text/plain',
    { first: versionPart.replace('application/pgp-encrypted', 'text/plain') },
  ],
  ['first part is not the version', 'text/pgp-encrypted', { first: versionPart.replace('application', 'text') }],
  ['first part is not the version', 'no type', { first: '\r\nVersion: 1\r\n' }],
  ['first part is not the version', 'two types', { first: `Content-Type: text/plain\r\n${versionPart}` }],
  [
    'first part is not the version',
    'a multipart',
    { first: versionPart.replace('application/pgp-encrypted', 'multipart/mixed; boundary=c') },
  ],
  [
    'first part is not the version',
    'an unknown encoding',
    { first: `Content-Transfer-Encoding: x-none\r\n${versionPart}` },
  ],
  [
    'first part is not the version',
    'two encodings',
    { first: `Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: 7bit\r\n${versionPart}` },
  ],
  [
    'first part is not the version',
    'base64 of something else',
    { first: `Content-Transfer-Encoding: base64\r\n${versionPart}` },
  ],
  ['first part is not the version', 'the armor first', { first: armorPart(), second: versionPart }],
  ['second part is not an OpenPGP message', 'text', { second: `${octetStream}\r\nreadable` }],
  ['second part is not an OpenPGP message', 'nothing', { second: octetStream }],
  [
    'second part is not an OpenPGP message',
    'text/plain',
    { second: armorPart(undefined, 'Content-Type: text/plain\r\n') },
  ],
  [
    'second part is not an OpenPGP message',
    'application/pgp',
    { second: armorPart(undefined, 'Content-Type: application/pgp\r\n') },
  ],
  ['second part is not an OpenPGP message', 'no type', { second: armorPart(undefined, '') }],
  [
    'second part is not an OpenPGP message',
    'a multipart',
    { second: armorPart(undefined, 'Content-Type: multipart/mixed; boundary=c\r\n') },
  ],
  [
    'second part is not an OpenPGP message',
    'two types',
    { second: armorPart(undefined, `${octetStream}Content-Type: text/html\r\n`) },
  ],
  [
    'second part is not an OpenPGP message',
    'two encodings',
    { second: armorPart(undefined, `${encoding('7bit')}Content-Transfer-Encoding: 8bit\r\n`) },
  ],
  ['second part is not an OpenPGP message', 'binary OpenPGP without armor', second(pkesk + seipd, encoding('binary'))],
  ['second part is not an OpenPGP message', 'text before', second(`readable\r\n${armored(pkesk + seipd)}`)],
  ['second part is not an OpenPGP message', 'text behind', second(`${armored(pkesk + seipd)}\r\nreadable`)],
  ['second part is not an OpenPGP message', 'two messages', second(`${armored(seipd)}\r\n${armored(seipd)}`)],
  [
    'second part is not an OpenPGP message',
    'no blank line behind BEGIN',
    second(armored(seipd).replace('\r\n\r\n', '\r\n')),
  ],
  [
    'second part is not an OpenPGP message',
    'text as an armor header',
    second(armored(seipd, { headers: ['readable'] })),
  ],
  ['second part is not an OpenPGP message', 'text as the CRC line', second(armored(seipd, { crc: '=readable' }))],
  [
    'second part is not an OpenPGP message',
    'a signed text',
    second(`-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nreadable\r\n${armored(packet(2, opaque(100)))}`),
  ],
  [
    'second part is not an OpenPGP message',
    'base64 of text',
    second([beginLine, '', ...base64Lines('readable'), '-----END PGP MESSAGE-----'].join('\r\n')),
  ],
  ['second part is not an OpenPGP message', 'a literal packet', second(armored(packet(11, 'readable')))],
  [
    'second part is not an OpenPGP message',
    'a literal packet behind a key',
    second(armored(pkesk + packet(11, 'readable'))),
  ],
  ['second part is not an OpenPGP message', 'a compressed packet', second(armored(packet(8, opaque(100))))],
  ['second part is not an OpenPGP message', 'a padding packet before', second(armored(packet(21, 'readable') + seipd))],
  ['second part is not an OpenPGP message', 'a marker packet behind', second(armored(seipd + packet(10, 'PGP')))],
  ['second part is not an OpenPGP message', 'two encrypted packets', second(armored(seipd + seipd))],
  ['second part is not an OpenPGP message', 'keys only', second(armored(pkesk + skesk))],
  ['second part is not an OpenPGP message', 'octets behind', second(armored(`${seipd}readable`))],
  ['second part is not an OpenPGP message', 'data that falls short', second(armored(seipd.slice(0, -1)))],
  ['second part is not an OpenPGP message', 'a first chunk of 256', second(armored(partialPacket(18, [256], 9)))],
  [
    'second part is not an OpenPGP message',
    'a key in partial chunks',
    second(armored(partialPacket(1, [512], 9) + seipd)),
  ],
];

test('encrypted both ways, cut at every offset', async t => {
  for (const [name, change] of encrypted) {
    await t.test(name, () => assert.deepEqual(reasons(encryptedMail(change)), { outgoing: null, incoming: null }));
  }
});

// RFC 2045 6.4 forbids it. A reader that decodes the body all the same finds other parts in it than we did.
const wholeEncodings: [name: string, fields: string][] = [
  ['base64', 'Content-Transfer-Encoding: base64\r\n'],
  ['quoted-printable', 'Content-Transfer-Encoding: quoted-printable\r\n'],
  ['unknown', 'Content-Transfer-Encoding: x-none\r\n'],
  ['two', 'Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n'],
];

test('a transfer encoding of the whole multipart', async t => {
  for (const [name, header] of wholeEncodings) {
    await t.test(name, () => {
      const { outgoing, incoming } = reasons(encryptedMail({ header }));
      assert.ok(outgoing !== null && incoming !== null);
      assert.ok(!isSecurejoinRequest(scan([securejoinMail({ fields: `Secure-Join: vc-request\r\n${header}` })])));
    });
  }
  for (const name of ['7bit', '8BIT', 'binary'])
    await t.test(name, () =>
      assert.deepEqual(reasons(encryptedMail({ header: `Content-Transfer-Encoding: ${name}\r\n` })), {
        outgoing: null,
        incoming: null,
      }),
    );
});

test('unencrypted both ways, cut at every offset', async t => {
  const untouched = encryptedMail();
  for (const [reason, name, change] of unencrypted) {
    await t.test(`${reason}: ${name}`, () => {
      const mail = encryptedMail(change);
      assert.notEqual(mail, untouched);
      assert.deepEqual(reasons(mail), { outgoing: reason, incoming: reason });
    });
  }
});

const byDirection: [name: string, change: Change, outgoing: Unencrypted][] = [
  [
    'a preamble',
    { preamble: 'This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)\r\n' },
    'text outside the parts',
  ],
  ['a preamble of 256 octets', { preamble: `${'x'.repeat(256)}\r\n` }, 'text outside the parts'],
  ['a preamble of several lines', { preamble: 'This is\r\n\r\nencrypted.\r\n\r\n' }, 'text outside the parts'],
  ['an armor header', second(armored(pkesk + seipd, { headers: ['Version: GnuPG v2'] })), 'armor headers'],
  [
    'armor headers',
    second(armored(pkesk + seipd, { headers: ['Version: ProtonMail', 'Comment: https://x.test', 'Charset: utf-8'] })),
    'armor headers',
  ],
];

test('what other clients write is allowed only in incoming mail', async t => {
  for (const [name, change, outgoing] of byDirection) {
    await t.test(name, () => assert.deepEqual(reasons(encryptedMail(change)), { outgoing, incoming: null }));
  }
});

test('every reason has a case', () => {
  const shown = new Set([...unencrypted.map(([reason]) => reason), ...byDirection.map(([, , reason]) => reason)]);
  const all: Record<Unencrypted, true> = {
    'top type is not multipart/encrypted': true,
    'malformed multipart': true,
    'not exactly two parts': true,
    'text outside the parts': true,
    'first part is not the version': true,
    'second part is not an OpenPGP message': true,
    'armor headers': true,
  };
  assert.deepEqual([...shown].sort(), Object.keys(all).sort());
});
