import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ContentType,
  contentTypeOf,
  parseContentType,
  type TransferEncoding,
  transferEncodingOf,
} from '../../src/message/content-type.ts';
import { parseHeader } from '../../src/message/header.ts';

const mixed = (boundary: string | null): ContentType => ({ type: 'multipart', subtype: 'mixed', boundary });

const understood: [name: string, value: string, expected: ContentType][] = [
  ['plain', 'multipart/mixed; boundary=b', mixed('b')],
  ['any case', ' MULTIPART/Mixed; BOUNDARY=Bb', mixed('Bb')],
  ['no boundary', 'multipart/mixed', mixed(null)],
  ['a quoted boundary', 'multipart/mixed; boundary="a b:c"', mixed('a b:c')],
  ['an empty boundary', 'multipart/mixed; boundary=""', mixed('')],
  ['a boundary of 1000 octets', `multipart/mixed; boundary=${'b'.repeat(1000)}`, mixed('b'.repeat(1000))],
  ['folded', ' multipart/mixed;\r\n\tboundary="b"', mixed('b')],
  ['folded before the type', '\r\n multipart/mixed; boundary=b', mixed('b')],
  ['blanks wherever they may be', ' multipart / mixed ; boundary = b ', mixed('b')],
  ['a name that only begins so', 'multipart/mixed; boundaryx=a; xboundary=c; boundary=b', mixed('b')],
  ['a semicolon at the end', 'multipart/mixed; boundary=b;', mixed('b')],
  [
    'comments, escapes and quoted semicolons where no boundary counts',
    'application (a) / octet-stream (b); name="a\\b; (1).asc"',
    { type: 'application', subtype: 'octet-stream', boundary: null },
  ],
  ['no blank between', 'multipart/mixed;x=y;boundary=b', mixed('b')],
  ['other parameters in RFC 2231 form', "multipart/mixed; x*=utf-8'de'%C3%A9; y*0=a; y*1=b; boundary=b", mixed('b')],
  ['8-bit in a quoted value', 'multipart/mixed; x="\xc3\xa9\xa0"; boundary=b', mixed('b')],
  ['all octets of a token', "a!#$%&'*+-.^_`{|}~/b", { type: "a!#$%&'*+-.^_`{|}~", subtype: 'b', boundary: null }],
  ['100,000 parameters', `multipart/mixed${'; x=y'.repeat(100_000)}; boundary=b`, mixed('b')],
  ['100,000 blanks', `multipart/mixed;${' '.repeat(100_000)}boundary=b`, mixed('b')],
];

const refused: [name: string, value: string][] = [
  ['a quoted boundary with escapes', 'multipart/mixed; boundary="a\\"b\\\\c\\d"'],
  ['comments', '(1) multipart (2) / (3) mixed (4;x=y) ; (5) boundary (6) = (7) "b" (8(9)"\\))'],
  ['a boundary in a comment', 'multipart/mixed; (boundary=a;) boundary=b'],
  ['a boundary in another value', 'multipart/mixed; x="; boundary=a"; boundary=b'],
  ['a semicolon and a comment at the end', 'multipart/mixed; boundary=b ; (c)'],
  ['nothing', ''],
  ['blanks', ' \r\n '],
  ['no subtype', 'multipart'],
  ['an empty subtype', 'multipart/; boundary=b'],
  ['an empty type', '/mixed; boundary=b'],
  ['two slashes', 'multipart/mixed/x; boundary=b'],
  ['no semicolon', 'multipart/mixed boundary=b'],
  ['an empty parameter', 'multipart/mixed;; boundary=b'],
  ['100,000 semicolons', `multipart/mixed${';'.repeat(100_000)} boundary=b`],
  ['a comma', 'multipart/mixed, boundary=b'],
  ['two types', 'multipart/encrypted multipart/mixed; boundary=b'],
  ['two boundaries', 'multipart/mixed; boundary=a; boundary=b'],
  ['the same boundary twice', 'multipart/mixed; boundary=b; Boundary="b"'],
  ['a boundary in RFC 2231 form', "multipart/mixed; boundary*=us-ascii'en'b"],
  ['a boundary in RFC 2231 pieces', 'multipart/mixed; boundary*0=a; boundary*1=b'],
  ['a boundary in encoded RFC 2231 pieces', "multipart/mixed; boundary*0*=us-ascii''a; boundary*1*=b"],
  ['a plain boundary and one in RFC 2231 form', "multipart/mixed; boundary=a; BOUNDARY*=us-ascii''b"],
  ['an RFC 2231 form after blanks', 'multipart/mixed; boundary*0 = a; boundary=b'],
  ['a parameter without value', 'multipart/mixed; boundary='],
  ['a parameter without equals sign', 'multipart/mixed; boundary'],
  ['a parameter without name', 'multipart/mixed; =b'],
  ['two equals signs', 'multipart/mixed; boundary==b'],
  ['an unquoted value with specials', 'multipart/mixed; boundary=----=_Part'],
  ['text behind a quoted value', 'multipart/mixed; boundary="a"b'],
  ['text behind a value', 'multipart/mixed; boundary=a b'],
  ['a quote that does not end', 'multipart/mixed; boundary="a'],
  ['an escaped quote at the end', 'multipart/mixed; boundary="a\\"'],
  ['a comment that does not end', 'multipart/mixed; boundary=b (c'],
  ['a comment that does not end before the type', '(c multipart/mixed; boundary=b'],
  ['a comment within a token', 'multi(c)part/mixed; boundary=b'],
  ['8-bit in a token', 'multipart/mix\xe9d; boundary=b'],
  ['8-bit in an unquoted boundary', 'multipart/mixed; boundary=\xe9'],
  ['a no-break space for a blank', 'multipart/mixed;\xa0boundary=b'],
  ['a no-break space before the type', '\xa0multipart/mixed; boundary=b'],
  ['a vertical tab', 'multipart/mixed;\x0bboundary=b'],
  ['NUL', 'multipart/mixed; boundary=b\0'],
];

test('understood', async t => {
  for (const [name, value, expected] of understood) {
    await t.test(name, () => assert.deepEqual(parseContentType(value), expected));
  }
});

test('refused', async t => {
  for (const [name, value] of refused) await t.test(name, () => assert.equal(parseContentType(value), null));
});

function headerOf(lines: string) {
  const header = parseHeader(lines);
  assert.ok(Array.isArray(header));
  return header;
}

test('of a header', () => {
  assert.deepEqual(contentTypeOf([]), { type: 'text', subtype: 'plain', boundary: null });
  assert.deepEqual(contentTypeOf(headerOf('Content-type : a/b\r\n')), { type: 'a', subtype: 'b', boundary: null });
  assert.equal(contentTypeOf(headerOf('Content-Type: a/b\r\nCONTENT-TYPE : a/b\r\n')), null);
  assert.equal(contentTypeOf(headerOf('Content-Type:\r\n')), null);
});

const encodings: [lines: string, expected: TransferEncoding | null][] = [
  ['', 'identity'],
  ['Content-Transfer-Encoding: 7bit\r\n', 'identity'],
  ['content-transfer-encoding:8BIT\r\n', 'identity'],
  ['Content-Transfer-Encoding: binary\r\n', 'identity'],
  ['Content-Transfer-Encoding: Base64\r\n', 'base64'],
  ['Content-Transfer-Encoding: quoted-printable\r\n', 'quoted-printable'],
  ['Content-Transfer-Encoding :\r\n (a) base64 (b)\r\n', 'base64'],
  ['Content-Transfer-Encoding: x-uuencode\r\n', null],
  ['Content-Transfer-Encoding:\r\n', null],
  ['Content-Transfer-Encoding: base64 7bit\r\n', null],
  ['Content-Transfer-Encoding: base64;\r\n', null],
  ['Content-Transfer-Encoding: "base64"\r\n', null],
  ['Content-Transfer-Encoding: base64 (a\r\n', null],
  ['Content-Transfer-Encoding: base64\xa0\r\n', null],
  ['Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n', null],
  ['Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: 7bit\r\n', null],
];

test('transfer encodings', async t => {
  for (const [lines, expected] of encodings) {
    await t.test(JSON.stringify(lines), () => assert.equal(transferEncodingOf(headerOf(lines)), expected));
  }
});
