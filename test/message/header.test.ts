import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  beginsLikeMailbox,
  type Header,
  type HeaderFault,
  HeaderReader,
  maxHeaderOctets,
  onlyField,
  onlyValue,
  parseHeader,
  unfold,
} from '../../src/message/header.ts';
import { piecesOf, readInAllCuts } from './cuts.ts';

/** The fields as `[name, value]`. */
const fields: [name: string, text: string, fields: [string, string][]][] = [
  ['nothing', '', []],
  ['one field', 'A: b\r\n', [['a', ' b']]],
  ['no blank behind the colon', 'A:b\r\n', [['a', 'b']]],
  [
    'no value',
    'A:\r\nB: c\r\n',
    [
      ['a', ''],
      ['b', ' c'],
    ],
  ],
  ['no CRLF at the end', 'A: b', [['a', ' b']]],
  ['a blank before the colon', 'From : b\r\n', [['from', ' b']]],
  ['a tab and blanks before the colon', 'From \t : b\r\n', [['from', ' b']]],
  ['a colon in the value', 'A: b: c\r\n', [['a', ' b: c']]],
  ['two colons', 'A:: b\r\n', [['a', ': b']]],
  [
    'a folded value',
    'A: b\r\n c\r\n\td\r\nE: f\r\n',
    [
      ['a', ' b\r\n c\r\n\td'],
      ['e', ' f'],
    ],
  ],
  ['a value that begins in the next line', 'A:\r\n b\r\n', [['a', '\r\n b']]],
  [
    'a continuation of blanks only',
    'A: b\r\n \t\r\nC: d\r\n',
    [
      ['a', ' b\r\n \t'],
      ['c', ' d'],
    ],
  ],
  [
    'fields of one name, in order',
    'A: 1\r\nB: 2\r\na: 3\r\n',
    [
      ['a', ' 1'],
      ['b', ' 2'],
      ['a', ' 3'],
    ],
  ],
  [
    'every octet a name may have',
    "!#$%&'*+-./09;<=>?@AZ[\\]^_`az{|}~: b\r\n",
    [["!#$%&'*+-./09;<=>?@az[\\]^_`az{|}~", ' b']],
  ],
  ['a long name', `${'x'.repeat(200)} ${' '.repeat(200)}: b\r\n`, [['x'.repeat(200), ' b']]],
  ['a long value', `A: ${'x'.repeat(200_000)}\r\n`, [['a', ` ${'x'.repeat(200_000)}`]]],
  ['8-bit in the value', 'A: \xe9\xa0\xff\r\n', [['a', ' \xe9\xa0\xff']]],
  ['nothing behind a blank line', 'A: b\r\n\r\nC: d\r\n', [['a', ' b']]],
  ['1000 fields', 'A: b\r\n'.repeat(1000), Array.from({ length: 1000 }, () => ['a', ' b'])],
];

const faults: [name: string, text: string, fault: HeaderFault][] = [
  ['no colon', 'A b\r\n', 'malformed'],
  ['a continuation first', ' A: b\r\n', 'malformed'],
  ['blanks only first', ' \r\nA: b\r\n', 'malformed'],
  ['no name', ': b\r\n', 'malformed'],
  ['a blank in the name', 'Fr om: b\r\n', 'malformed'],
  ['8-bit in the name', 'Fr\xf6m: b\r\n', 'malformed'],
  ['a no-break space before the colon', 'From\xa0: b\r\n', 'malformed'],
  ['a vertical tab before the colon', 'From\x0b: b\r\n', 'malformed'],
  ['NUL in the name', 'From\0: b\r\n', 'malformed'],
  ['DEL in the name', 'From\x7f: b\r\n', 'malformed'],
  ["a mailbox file's From line", 'From me@one.test Mon Jan 1 00:00:00 2026\r\nA: b\r\n', 'malformed'],
  // Postfix reads a line in pieces of line_length_limit (2048) octets and ends the header at a first one without a colon; it breaks
  // lines of more than 998 octets (smtp_line_length_limit) when it sends them. What follows would be readable text.
  ['a name of 3000 octets', `${'x'.repeat(3000)}: b\r\n`, 'malformed'],
  ['a name of 1000 octets', `${'x'.repeat(1000)}: b\r\n`, 'malformed'],
  ['3000 blanks before the colon', `From${' '.repeat(3000)}: b\r\n`, 'malformed'],
  ['1000 blanks before the colon', `From${' \t'.repeat(500)}: b\r\n`, 'malformed'],
  ['a colon only in the continuation', 'A\r\n : b\r\n', 'malformed'],
  ['an unfinished last line without colon', 'A: b\r\nC', 'malformed'],
  ['1001 fields', 'A: b\r\n'.repeat(1001), 'oversize'],
  ['100,000 fields', 'A:\r\n'.repeat(100_000), 'oversize'],
];

test('fields', async t => {
  for (const [name, text, expected] of fields) {
    await t.test(name, () => {
      const header = parseHeader(text);
      assert.ok(Array.isArray(header), String(header));
      assert.deepEqual(
        header.map(field => [field.name, field.value]),
        expected,
      );
    });
  }
});

test('faults', async t => {
  for (const [name, text, fault] of faults) await t.test(name, () => assert.equal(parseHeader(text), fault));
});

describe('a first line as in a mailbox file, of which Postfix makes another field', () => {
  for (const text of ['>From : b\r\n', '>>From : b\r\n', 'From : b\r\n c\r\n', 'From  :\r\n\tb\r\n']) {
    test(`${JSON.stringify(text)} is malformed`, () => assert.equal(parseHeader(`${text}To: c\r\n`), 'malformed'));
    test(`${JSON.stringify(text)} behind another is not`, () =>
      assert.equal(parseHeader(`To: c\r\n${text}`).length, 2));
  }
  test('unfolded it only loses its place', () => {
    const header = (text: string) => parseHeader(text) as Header;
    assert.equal(beginsLikeMailbox(header('From : b\r\nTo: c\r\n')), true);
    for (const text of ['', 'From: b\r\n', 'From\t: b\r\n', 'from : b\r\n', 'To: c\r\nFrom : b\r\n'])
      assert.equal(beginsLikeMailbox(header(text)), false, text);
  });
});

test('raw is the field as received', () => {
  const header = parseHeader('To:c\r\nFrom : a\r\n b\r\n');
  assert.ok(Array.isArray(header));
  assert.deepEqual(
    header.map(field => field.raw),
    ['To:c', 'From : a\r\n b'],
  );
});

type Reading = { fields: Header | HeaderFault; rest: string } | 'oversize' | { unfinished: Header | HeaderFault };

/** Reads a message as a scanner would; `rest` is what follows the header. */
function read(pieces: readonly string[]): Reading {
  const reader = new HeaderReader();
  for (const [index, piece] of pieces.entries()) {
    const end = reader.feed(piece, 0);
    if (end === 'oversize') return end;
    if (end >= 0) return { fields: reader.fields(), rest: piece.slice(end) + pieces.slice(index + 1).join('') };
  }
  return { unfinished: reader.fields() };
}

const oneField = [{ name: 'a', value: ' b', raw: 'A: b' }];
const streams: [name: string, text: string, expected: Reading][] = [
  ['header and body', 'A: b\r\n\r\nbody\r\n', { fields: oneField, rest: 'body\r\n' }],
  ['no body', 'A: b\r\n\r\n', { fields: oneField, rest: '' }],
  ['a blank first line', '\r\nA: b\r\n\r\n', { fields: [], rest: 'A: b\r\n\r\n' }],
  ['several blank lines', 'A: b\r\n\r\n\r\n\r\n', { fields: oneField, rest: '\r\n\r\n' }],
  ['a line that begins with CR', 'A: b\r\n\r\r\n\r\nbody', { fields: 'malformed', rest: 'body' }],
  [
    'CRs before the blank line',
    'A: b\r\r\r\n\r\nbody',
    { fields: [{ name: 'a', value: ' b\r\r', raw: 'A: b\r\r' }], rest: 'body' },
  ],
  ['a line that begins with LF', 'A: b\r\n\n\r\n\r\nbody', { fields: 'malformed', rest: 'body' }],
  ['no end', 'A: b\r\n', { unfinished: oneField }],
  ['half a blank line', 'A: b\r\n\r', { unfinished: 'malformed' }],
  ['half a line end', 'A: b\r', { unfinished: [{ name: 'a', value: ' b\r', raw: 'A: b\r' }] }],
  ['nothing', '', { unfinished: [] }],
  ['a malformed line', 'A: b\r\nC\r\n\r\n', { fields: 'malformed', rest: '' }],
];

test('the reader, cut at every offset', async t => {
  for (const [name, text, expected] of streams) {
    await t.test(name, () => assert.deepEqual(readInAllCuts(text, read), expected));
  }
});

test('the reader starts at any offset of a piece', () => {
  for (const before of ['', 'x', 'X: y\r\n\r\n', 'x\r', 'x\r\n', 'x\r\n\r']) {
    for (const header of ['', 'A\r\n', 'A: b\r\n', 'A: b\r\nC: d\r\n']) {
      const reader = new HeaderReader();
      const text = `${before}${header}\r\nbody`;
      assert.equal(reader.feed(text, before.length), before.length + header.length + 2, JSON.stringify(text));
    }
  }
});

test('size', async t => {
  const field = 'A: b\r\n';
  const padded = (octets: number) => `${field.repeat(9)}X: ${'y'.repeat(octets - field.length * 9 - 7)}\r\n\r\n`;

  await t.test('a header of 256 KiB is read', () => {
    const text = padded(maxHeaderOctets);
    assert.equal(text.length, maxHeaderOctets);
    assert.equal(typeof readInAllCuts(text, read), 'object');
  });
  await t.test('one octet more is oversize', () => {
    assert.equal(readInAllCuts(`${padded(maxHeaderOctets + 1)}body`, read), 'oversize');
  });
  for (const [name, octets] of [
    ['an endless line', 'x'.repeat(1_000_000)],
    ['endless fields', 'A: b\r\n'.repeat(200_000)],
    ['an endless continuation', `A: b${'\r\n c'.repeat(200_000)}`],
  ] as const) {
    await t.test(`${name} is refused in the piece that crosses the limit, not later`, () => {
      const reader = new HeaderReader();
      const fed = piecesOf(octets, 1000).findIndex(piece => reader.feed(piece, 0) === 'oversize');
      assert.equal(fed, Math.floor(maxHeaderOctets / 1000));
    });
  }
});

test('values by name', () => {
  const header = parseHeader('A: 1\r\nB:\r\n\t2 \r\nA: 3\r\nC: \xa04\r\n');
  assert.ok(Array.isArray(header));
  assert.equal(onlyField(header, 'a'), null);
  assert.equal(onlyField(header, 'b'), '\r\n\t2 ');
  assert.equal(onlyField(header, 'x'), undefined);
  assert.equal(onlyValue(header, 'a'), null);
  assert.equal(onlyValue(header, 'b'), '2');
  // A no-break space is no blank.
  assert.equal(onlyValue(header, 'c'), '\xa04');
  assert.equal(onlyValue(header, 'x'), null);
  assert.equal(unfold(' a\r\n b\r\n\tc'), ' a b\tc');
});
