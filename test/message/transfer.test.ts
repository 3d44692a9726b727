import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TransferEncoding } from '../../src/message/content-type.ts';
import { transferDecoder } from '../../src/message/transfer.ts';
import { readInAllCuts } from './cuts.ts';
import { base64Lines, opaque } from './samples.ts';

/** The decoded text, or null when the encoded one is malformed. */
function decode(encoding: TransferEncoding, pieces: readonly string[]): string | null {
  let decoded = '';
  const decoder = transferDecoder(encoding, text => {
    decoded += text;
  });
  const fed = pieces.every(piece => decoder.feed(piece));
  return fed && decoder.end() ? decoded : null;
}

const all256 = String.fromCharCode(...Array.from({ length: 256 }, (_, octet) => octet));

type Case = [name: string, encoded: string, decoded: string | null];

const identity: Case[] = [
  ['nothing', '', ''],
  ['every octet', all256, all256],
  ['what looks encoded', 'a=3D=\r\nZm9v', 'a=3D=\r\nZm9v'],
];

const base64: Case[] = [
  ['nothing', '', ''],
  ['text', 'Zm9v\r\nYmE=', 'fooba'],
  ['a line end behind', 'Zm9vYmE=\r\n', 'fooba'],
  ['line ends behind', 'Zm9vYg==\r\n\r\n\r\n', 'foob'],
  ['line ends before', '\r\n\r\nZm9v', 'foo'],
  ['every octet', base64Lines(all256).join('\r\n'), all256],
  ['100 kB', base64Lines(opaque(1000).repeat(100)).join('\r\n'), opaque(1000).repeat(100)],
  ['a blank', 'Zm9v YmFy', null],
  ['a blank at the end of a line', 'Zm9v \r\nYmFy', null],
  ['text', 'Hello, this is readable', null],
  ['no padding where it is due', 'Zm9vYmE', null],
  ['one padding for two', 'Zm9vYg=', null],
  ['padding where none is due', 'Zm9v=', null],
  ['three of padding', 'Zg===', null],
  ['padding cut by a line end', 'Zg=\r\n=', 'f'],
  ['padding on a line of its own', 'Zg\r\n==', 'f'],
  ['letters behind the padding', 'Zg==Zm9v', null],
  ['letters behind the padding, on a new line', 'Zg==\r\nZm9v', null],
  ['text behind the padding', 'Zg==\r\nThis is readable', null],
  ['padding behind the padding', 'Zg==\r\n==', null],
  ['a blank behind the padding', 'Zg== ', null],
  ['bits set under the padding', 'Zh==', null],
  ['padding only', '==', null],
  ['8-bit', 'Zm9\xe9', null],
];

const quotedPrintable: Case[] = [
  ['nothing', '', ''],
  ['a line', 'foo', 'foo'],
  ['lines', 'foo\r\nbar', 'foo\r\nbar'],
  ['a line end behind', 'foo\r\n', 'foo\r\n'],
  ['blank lines', '\r\n\r\nfoo\r\n\r\n', '\r\n\r\nfoo\r\n\r\n'],
  ['octets', '=46=6F=6f', 'Foo'],
  ['an equals sign', 'a=3Db', 'a=b'],
  ['what looks encoded once decoded', '=3D46', '=46'],
  [
    'every octet',
    [...all256].map(octet => `=${octet.charCodeAt(0).toString(16).padStart(2, '0')}`).join('=\r\n'),
    all256,
  ],
  ['a soft line break', 'foo=\r\nbar', 'foobar'],
  ['soft line breaks only', '=\r\n=\r\n=', ''],
  ['blanks behind a soft line break', 'foo= \t\r\nbar', 'foobar'],
  ['blanks at the end of a line', 'foo \t \r\nbar \t', 'foo\r\nbar'],
  ['an encoded blank at the end of a line', 'foo=20\r\nbar', 'foo \r\nbar'],
  ['blanks only', ' \t\r\n  ', '\r\n'],
  ['encoded line ends', 'foo=0D=0Abar', 'foo\r\nbar'],
  ['an encoded line feed', 'foo=0Abar', 'foo\nbar'],
  ['8-bit', 'f\xc3\xb6\xf6', 'f\xc3\xb6\xf6'],
  ['a dash line', '=2D-----BEGIN', '------BEGIN'],
  ['a line of 1000 octets', `${'x'.repeat(996)}=41`, `${'x'.repeat(996)}A`],
  ['100 kB', 'foo=3D=\r\n'.repeat(11_000), 'foo='.repeat(11_000)],
  ['an equals sign that is none', 'a=b', null],
  ['one digit', 'a=4', null],
  ['one digit and a line end', 'a=4\r\n1', null],
  ['no digits', 'a=G1', null],
  ['an equals sign before a blank in the line', 'a= b', null],
  ['two equals signs', 'a==', null],
  ['a fault in an early line', 'a=x\r\nb\r\nc', null],
  ['a line of 5000 octets', 'x'.repeat(5000), null],
  ['a line of 5000 octets among others', `a\r\n${'x'.repeat(5000)}\r\nb`, null],
  ['an endless run of blanks', `a${' '.repeat(5000)}\r\nb`, null],
];

for (const [encoding, cases] of [
  ['identity', identity],
  ['base64', base64],
  ['quoted-printable', quotedPrintable],
] as const) {
  test(`${encoding}, cut at every offset`, async t => {
    for (const [name, encoded, decoded] of cases) {
      await t.test(name, () => {
        const result = readInAllCuts(encoded, pieces => decode(encoding, pieces));
        // No diff of 100 kB.
        assert.ok(
          result === decoded,
          `${JSON.stringify(result?.slice(0, 300))} for ${JSON.stringify(decoded?.slice(0, 300))}`,
        );
      });
    }
  });
}

test('a line of quoted-printable may end at the limit, with or without its line end', () => {
  for (let length = 990; length < 1010; length++) {
    const results = ['', '\r\n', '\r\nx'].map(end =>
      readInAllCuts(`${'x'.repeat(length)}${end}`, pieces => decode('quoted-printable', pieces) !== null),
    );
    if (length < 998) assert.deepEqual(results, [true, true, true], `${length}`);
  }
});
