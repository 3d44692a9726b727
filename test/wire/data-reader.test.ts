import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DataReader } from '../../src/wire/data-reader.ts';
import { cuts, describeCut, latin1, pieces } from './cuts.ts';
import { escaped, meaningOf } from './data-model.ts';

type Reading = {
  end: number;
  broken: boolean;
  /** Null once the message is broken: then it means nothing. */
  text: string | null;
  octets: number | null;
  wireOctets: number;
};

function read(chunks: Iterable<string>): Reading {
  const reader = new DataReader();
  let text = '';
  let before = 0;
  for (const chunk of chunks) {
    const piece = reader.feed(latin1(chunk));
    text += piece.text;
    if (piece.end >= 0) return reading(before + piece.end);
    before += chunk.length;
  }
  return reading(-1);

  function reading(end: number): Reading {
    const { broken, octets, wireOctets } = reader;
    return broken ? { end, broken, text: null, octets: null, wireOctets } : { end, broken, text, octets, wireOctets };
  }
}

/** A message in good form, and what follows it on the wire. */
const good: [name: string, wire: string, text: string, behind?: string][] = [
  ['an immediate dot line', '.\r\n', ''],
  ['an empty line', '\r\n.\r\n', '\r\n'],
  ['one line', 'a\r\n.\r\n', 'a\r\n'],
  ['a leading ..x', '..x\r\n.\r\n', '.x\r\n'],
  ['a leading .. alone', '..\r\n.\r\n', '.\r\n'],
  ['a leading .x, which nobody escaped', '.x\r\n.\r\n', 'x\r\n'],
  ['three dots', '...\r\n....\r\n.\r\n', '..\r\n...\r\n'],
  ['only .. lines', '..\r\n..\r\n..\r\n.\r\n', '.\r\n.\r\n.\r\n'],
  ['a dot line, a blank behind the dot', '. \r\n.\r\n', ' \r\n'],
  ['a dot inside and at the end of a line', 'a.b.\r\n.\r\n', 'a.b.\r\n'],
  ['empty lines before the end', 'a\r\n\r\n\r\n.\r\n', 'a\r\n\r\n\r\n'],
  ['an empty line, then ..', '\r\n..\r\n.\r\n', '\r\n.\r\n'],
  [
    '8-bit, DEL and control octets',
    '\xa0\xff\x85\x7f\x01\x0b\x0c\x1b\r\n.\r\n',
    '\xa0\xff\x85\x7f\x01\x0b\x0c\x1b\r\n',
  ],
  ['commands behind the end', 'a\r\n.\r\n', 'a\r\n', 'QUIT\r\n'],
  ['a second dot line behind the end', 'a\r\n.\r\n', 'a\r\n', '.\r\n'],
  ['half a line behind the end', '.\r\n', '', 'MAI'],
  ['a bare LF behind the end', 'a\r\n.\r\n', 'a\r\n', '\n'],
  ['a bare CR behind the end', 'a\r\n.\r\n', 'a\r\n', '\r'],
  ['NUL behind the end', 'a\r\n.\r\n', 'a\r\n', '\0'],
];

/** Nothing of these may be forwarded. The end is where RFC 5321 has it, never earlier: else the rest would be commands. */
const broken: [name: string, wire: string, behind?: string][] = [
  ['CR CR LF dot CRLF', 'a\r\r\n.\r\n'],
  ['CR CR LF at the start', '\r\r\n.\r\n'],
  ['CRLF dot CR CR LF is no end', 'a\r\n.\r\r\nb\r\n.\r\n'],
  ['CRLF dot CR CR LF, then the end', 'a\r\n.\r\r\n.\r\n'],
  ['dot CR X', '.\rX\r\n.\r\n'],
  ['CRLF dot CR X', 'a\r\n.\rX\r\n.\r\n'],
  ['dot CR dot CRLF', '.\r.\r\n.\r\n'],
  ['LF dot CRLF is no end', 'a\n.\r\nb\r\n.\r\n'],
  ['LF dot CRLF at the start is no end', '\n.\r\nb\r\n.\r\n'],
  ['LF dot LF is no end', 'a\n.\nb\r\n.\r\n'],
  ['CR dot CR is no end', 'a\r.\rb\r\n.\r\n'],
  ['CR dot CRLF is no end', 'a\r.\r\nb\r\n.\r\n'],
  ['CRLF dot LF is no end', 'a\r\n.\nb\r\n.\r\n'],
  ['dot LF at the start is no end', '.\nb\r\n.\r\n'],
  ['CRLF dot CR dot CRLF', 'a\r\n.\r.\r\nb\r\n.\r\n'],
  ['LF CR dot CRLF', 'a\n\r.\r\nb\r\n.\r\n'],
  ['LF CRLF dot CRLF', 'a\n\r\n.\r\n'],
  ['LF LF', '\n\n\r\n.\r\n'],
  ['CR alone at the start', '\rb\r\n.\r\n'],
  ['many CRs', '\r\r\r\r\n.\r\n'],
  ['CR and LF the wrong way round', 'a\n\rb\r\n.\r\n'],
  ['bare LF', 'a\nb\r\n.\r\n'],
  ['bare CR', 'a\rb\r\n.\r\n'],
  ['NUL', 'a\0b\r\n.\r\n'],
  ['NUL at the start', '\0\r\n.\r\n'],
  ['NUL alone behind a dot', '.\0\r\n.\r\n'],
  ['NUL between CR and LF', 'a\r\0\nb\r\n.\r\n'],
  ['NUL in the escape', 'a\r\n\0.\r\n.\r\n'],
  ['NUL between dot and CRLF is no end', 'a\r\n.\0\r\nb\r\n.\r\n'],
  ['a broken line, then .. lines', 'a\n\r\n..b\r\n..\r\n.\r\n'],
  ['a hidden message behind LF dot CRLF', 'a\r\n\n.\r\nMAIL FROM:<b@c>\r\nDATA\r\n.\r\n', 'QUIT\r\n'],
];

/** Without an end, none may be found. */
const unfinished: [name: string, wire: string, broken: boolean][] = [
  ['nothing', '', false],
  ['a dot', '.', false],
  ['a dot and CR', '.\r', false],
  ['CRLF dot', 'a\r\n.', false],
  ['CRLF dot CR', 'a\r\n.\r', false],
  ['CRLF dot LF', 'a\r\n.\n', true],
  ['CR dot CR', 'a\r.\r', true],
  ['LF dot CRLF', 'a\n.\r\n', true],
  ['CR dot CRLF', 'a\r.\r\n', true],
  ['CRLF dot CR CR LF', 'a\r\n.\r\r\n', true],
  ['QUIT in aborted data', 'Subject: x\r\n\r\nhalf a liQUIT\r\n', false],
  ['QUIT behind a dot', 'a\r\n.QUIT\r\n', false],
  ['a CR at the end may become CRLF', 'a\r', false],
  ['a LF at the end', 'a\n', true],
];

test('messages in good form, however they are cut', () => {
  for (const [name, wire, text, behind = ''] of good) {
    const wireOctets = wire.length - 3;
    const expected: Reading = { end: wire.length, broken: false, text, octets: text.length, wireOctets };
    for (const chunks of cuts(wire + behind)) {
      assert.deepEqual(read(chunks), expected, `${name}, ${describeCut(chunks)}`);
    }
  }
});

test('broken messages are read to their true end, however they are cut', () => {
  for (const [name, wire, behind = ''] of broken) {
    const wireOctets = wire.length - 3;
    const expected: Reading = { end: wire.length, broken: true, text: null, octets: null, wireOctets };
    for (const chunks of cuts(wire + behind)) {
      assert.deepEqual(read(chunks), expected, `${name}, ${describeCut(chunks)}`);
    }
  }
});

test('an end that has not come is not found, however the octets are cut', () => {
  for (const [name, wire, isBroken] of unfinished) {
    for (const chunks of cuts(wire)) {
      const { end, broken } = read(chunks);
      assert.deepEqual([end, broken], [-1, isBroken], `${name}, ${describeCut(chunks)}`);
    }
  }
});

test('the oracle agrees with the tables', () => {
  for (const [name, wire, text, behind = ''] of good) {
    assert.deepEqual(meaningOf(wire + behind), { end: wire.length, broken: false, text }, name);
  }
  for (const [name, wire, behind = ''] of broken) {
    const { end, broken } = meaningOf(wire + behind);
    assert.deepEqual([end, broken], [wire.length, true], name);
  }
  for (const [name, wire, isBroken] of unfinished) {
    const { end, broken } = meaningOf(wire);
    assert.deepEqual([end, broken], [-1, isBroken], name);
  }
});

test('every string of up to seven octets of CR, LF, dot and a letter, whole and octet by octet', () => {
  const alphabet = ['\r', '\n', '.', 'a'];
  let level = [''];
  let count = 0;
  for (let length = 1; length <= 7; length++) {
    level = level.flatMap(start => alphabet.map(octet => start + octet));
    for (const wire of level) {
      const { end, broken, text } = meaningOf(wire);
      for (const chunks of [[wire], [...wire], [wire.slice(0, 3), wire.slice(3)]]) {
        const reading = read(chunks);
        count++;
        assert.deepEqual([reading.end, reading.broken], [end, broken], describeCut(chunks));
        if (end >= 0 && !broken) assert.equal(reading.text, text, describeCut(chunks));
        if (end >= 0) assert.equal(reading.wireOctets, end - 3, describeCut(chunks));
      }
    }
  }
  assert.equal(count, 3 * 21_844);
});

test('reading begins where it is told to', () => {
  const reader = new DataReader();
  const chunk = latin1('DATA\r\n..a\r\n.\r\nQUIT\r\n');
  assert.deepEqual(reader.feed(chunk, 6), { text: '.a\r\n', end: 14 });
  assert.equal(reader.wireOctets, 5);
});

test('octets never shrink and are never ahead of the message: a size limit may be checked at any time', () => {
  const text = 'a\r\n.\r\n\r\n..\r\nb.\r\n';
  for (const chunks of cuts(`${escaped(text)}.\r\n`)) {
    const reader = new DataReader();
    let before = 0;
    for (const chunk of chunks) {
      reader.feed(latin1(chunk));
      assert.ok(reader.octets >= before && reader.octets <= text.length, describeCut(chunks));
      before = reader.octets;
    }
    assert.equal(reader.octets, text.length);
  }
});

test('chunk edges everywhere in long lines', () => {
  const text = Array.from({ length: 40 }, (_, n) => `${'.'.repeat(n % 4)}${'x'.repeat(n)}\r\n`).join('');
  const wire = `${escaped(text)}.\r\n`;
  for (let size = 1; size <= wire.length; size++) {
    const { text: out, end, wireOctets } = read(pieces(wire, size));
    assert.deepEqual([out, end, wireOctets], [text, wire.length, wire.length - 3], `pieces of ${size}`);
  }
});

/** A quadratic reader would need minutes; this one needs a tenth of a second. */
test('dot lines, empty lines and long lines are read in linear time, in pieces of any size', () => {
  const shapes = { 'dot lines': '..\r\n', 'empty lines': '\r\n', 'a line of dots': '.', CRs: '\r' };
  for (const [name, shape] of Object.entries(shapes)) {
    for (const [octets, size] of [
      [1 << 20, 7],
      [4 << 20, 65_536],
      [4 << 20, 5 << 20],
    ] as const) {
      const wire = latin1(`${shape.repeat(octets / shape.length)}\r\n.\r\n`);
      const reader = new DataReader();
      const { user: before } = process.cpuUsage();
      let end = -1;
      for (let at = 0; at < wire.length; at += size) end = reader.feed(wire.subarray(at, at + size)).end;
      const spent = process.cpuUsage().user - before;
      assert.ok(end > 0, name);
      assert.equal(reader.wireOctets, octets + 2, name);
      assert.ok(spent < 2_000_000, `${name} in pieces of ${size}: ${spent / 1000} ms`);
    }
  }
});
