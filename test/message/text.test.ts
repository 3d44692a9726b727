import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAscii, isUtf8, quoted, trimBlanks } from '../../src/message/text.ts';

test('ASCII', () => {
  assert.ok(isAscii(''));
  assert.ok(isAscii('\0\x7f'));
  assert.ok(!isAscii('a\x80'));
  assert.ok(!isAscii('\xff'));
});

const utf8: [name: string, octets: string, valid: boolean][] = [
  ['nothing', '', true],
  ['ASCII', 'a\0\x7f', true],
  ['two octets', '\xc3\xa9', true],
  ['three octets', '\xe2\x82\xac', true],
  ['four octets', '\xf0\x9f\x98\x80', true],
  ['a byte order mark', '\xef\xbb\xbf', true],
  ['latin1', 'caf\xe9', false],
  ['a continuation alone', '\x80', false],
  ['cut off', '\xe2\x82', false],
  ['overlong', '\xc0\xaf', false],
  ['a surrogate', '\xed\xa0\x80', false],
  ['above the last character', '\xf4\x90\x80\x80', false],
];

test('UTF-8', async t => {
  for (const [name, octets, valid] of utf8) await t.test(name, () => assert.equal(isUtf8(octets), valid));
});

test('a broken character leaves nothing behind for the next text', () => {
  assert.ok(!isUtf8('\xe2\x82'));
  assert.ok(!isUtf8('\xac'));
  assert.ok(isUtf8('\xc3\xa9'));
});

const shown: [octets: string, text: string][] = [
  ['me@one.test', 'me@one.test'],
  ['', '""'],
  ['a b', '"a b"'],
  ['a\r\nWARN forged', '"a\\x0d\\x0aWARN forged"'],
  ['a"b', '"a\\x22b"'],
  ['a\\b', '"a\\x5cb"'],
  ['\0\x1b[2J\x7f', '"\\x00\\x1b[2J\\x7f"'],
  ['j\xc3\xb6rg', '"j\\xc3\\xb6rg"'],
  ['\xa0', '"\\xa0"'],
];

test('foreign text in a log line', async t => {
  for (const [octets, text] of shown) {
    await t.test(JSON.stringify(octets), () => assert.equal(quoted(octets), text));
  }
  await t.test('no octet gets through that is not printable ASCII', () => {
    const all = String.fromCharCode(...Array.from({ length: 256 }, (_, octet) => octet));
    assert.match(quoted(all), /^"[\x20-\x7e]*"$/);
  });
  await t.test('long text is cut', () => {
    assert.equal(quoted('a'.repeat(320)), 'a'.repeat(320));
    assert.equal(quoted('a'.repeat(321)), `"${'a'.repeat(320)}..."`);
    assert.equal(quoted('a b', 2), '"a ..."');
    assert.ok(quoted('\n'.repeat(1_000_000)).length < 2000);
  });
});

const trimmed: [octets: string, text: string][] = [
  ['', ''],
  [' \t\r\n', ''],
  ['a', 'a'],
  ['\r\n\t a b \r\n', 'a b'],
  ['\xa0a\xa0', '\xa0a\xa0'],
  ['\x0ba\x0c', '\x0ba\x0c'],
  ['\0a', '\0a'],
];

test('blanks and line ends around a text', async t => {
  for (const [octets, text] of trimmed)
    await t.test(JSON.stringify(octets), () => assert.equal(trimBlanks(octets), text));
});
