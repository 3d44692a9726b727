import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isBoundary, type MultipartFault, MultipartReader } from '../../src/message/multipart.ts';
import { readInAllCuts } from './cuts.ts';

type Reading = {
  parts: { header: string[]; body: string | null }[];
  preamble: string;
  epilogue: string;
  fault: MultipartFault | null;
};

/** What the reader tells of a body; a part that never ended has the body null. */
function readerOf(boundary: string) {
  return (pieces: readonly string[]): Reading => {
    const parts: { header: string[]; body: string | null }[] = [];
    const outside = { preamble: '', epilogue: '' };
    let body = '';
    const reader = new MultipartReader(boundary, {
      outside: (where, text) => {
        outside[where] += text;
      },
      partBegins: header => {
        parts.push({ header: header.map(field => field.raw), body: null });
        body = '';
      },
      body: text => {
        body += text;
      },
      partEnds: () => {
        const part = parts.at(-1);
        assert.ok(part !== undefined && part.body === null, 'a part ends once');
        part.body = body;
      },
    });
    for (const piece of pieces) reader.feed(piece);
    reader.end();
    return { parts, ...outside, fault: reader.fault };
  };
}

const good: [name: string, text: string, parts: [header: string[], body: string][], outside?: [string, string]][] = [
  ['one part', '--b\r\nA: x\r\n\r\ntext\r\n--b--\r\n', [[['A: x'], 'text']]],
  [
    'two parts',
    '--b\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b--\r\n',
    [
      [[], '1'],
      [[], '2'],
    ],
  ],
  ['a part with an empty body', '--b\r\nA: x\r\n\r\n\r\n--b--\r\n', [[['A: x'], '']]],
  ['a delimiter right behind the header', '--b\r\nA: x\r\n\r\n--b--\r\n', [[['A: x'], '']]],
  ['neither header nor body', '--b\r\n\r\n--b--\r\n', [[[], '']]],
  ['a line end in the body', '--b\r\n\r\n1\r\n\r\n--b--\r\n', [[[], '1\r\n']]],
  ['no parts', '--b--\r\n', []],
  ['a preamble', 'pre\r\namble\r\n--b\r\n\r\n1\r\n--b--\r\n', [[[], '1']], ['pre\r\namble', '']],
  ['a blank line before', '\r\n--b\r\n\r\n1\r\n--b--\r\n', [[[], '1']], ['', '']],
  ['two blank lines before', '\r\n\r\n--b\r\n\r\n1\r\n--b--\r\n', [[[], '1']], ['\r\n', '']],
  ['an epilogue', '--b\r\n\r\n1\r\n--b--\r\nepi\r\nlogue\r\n', [[[], '1']], ['', 'epi\r\nlogue\r\n']],
  ['delimiters in the epilogue', '--b--\r\n--b\r\n\r\n1\r\n--b--\r\n', [], ['', '--b\r\n\r\n1\r\n--b--\r\n']],
  ['blanks behind the delimiters', '--b \t\r\n\r\n1\r\n--b-- \t \r\n', [[[], '1']]],
  ['900 blanks behind a delimiter', `--b${' '.repeat(900)}\r\n\r\n1\r\n--b--\r\n`, [[[], '1']]],
  [
    'dashes in the body',
    '--b\r\n\r\n--\r\n-\r\n--a\r\n-b\r\n---b\r\n--b--\r\n',
    [[[], '--\r\n-\r\n--a\r\n-b\r\n---b']],
  ],
  ['a blank before a delimiter', '--b\r\n\r\n --b\r\n--b--\r\n', [[[], ' --b']]],
  ['a delimiter in the middle of a line', '--b\r\n\r\nx--b\r\n--b--\r\n', [[[], 'x--b']]],
  ['the wrong case', '--b\r\n\r\n--B\r\n--b--\r\n', [[[], '--B']]],
  ['almost delimiters', `--b\r\n\r\n${'\r\n-'.repeat(50)}\r\n--b--\r\n`, [[[], '\r\n-'.repeat(50)]]],
  ['runs of CR', `--b\r\n\r\n${'\r'.repeat(50)}\r\n--b--\r\n`, [[[], '\r'.repeat(50)]]],
  ['a line feed before dashes', '--b\r\n\r\nx\n--b\r\n--b--\r\n', [[[], 'x\n--b']]],
  ['folded fields', '--b\r\nA: x\r\n y\r\nB: z\r\n\r\n1\r\n--b--\r\n', [[['A: x\r\n y', 'B: z'], '1']]],
  [
    'another multipart within',
    '--b\r\n\r\n--c\r\n\r\n1\r\n--c--\r\n\r\n--b--\r\n',
    [[[], '--c\r\n\r\n1\r\n--c--\r\n']],
  ],
  ['100 nested ones', `--b\r\n\r\n${nested(100)}\r\n--b--\r\n`, [[[], nested(100)]]],
];

function nested(depth: number): string {
  const opening = Array.from(
    { length: depth },
    (_, n) => `--n${n}\r\nContent-Type: multipart/mixed; boundary=n${n + 1}\r\n\r\n`,
  );
  const closing = Array.from({ length: depth }, (_, n) => `\r\n--n${depth - 1 - n}--`);
  return opening.join('') + closing.join('');
}

const faulty: [name: string, text: string, fault: MultipartFault][] = [
  ['nothing', '', 'no closing delimiter'],
  ['no delimiter', 'text\r\n', 'no closing delimiter'],
  ['no closing delimiter', '--b\r\n\r\n1\r\n--b\r\n\r\n2\r\n', 'no closing delimiter'],
  ['a closing delimiter without dashes', '--b\r\n\r\n1\r\n--b\r\n', 'no closing delimiter'],
  ['a header that does not end', '--b\r\nA: x\r\n', 'no closing delimiter'],
  ['a header that does not end before the closing delimiter', '--b\r\nA: x\r\n--b--\r\n', 'no closing delimiter'],
  ['a closing delimiter without line end', '--b\r\n\r\n1\r\n--b--', 'no closing delimiter'],
  ['a line that begins so and goes on', '--b\r\n\r\n1\r\n--bx\r\n--b--\r\n', 'delimiter line'],
  ['a longer boundary within', '--b\r\n\r\n--b1\r\n\r\n1\r\n--b1--\r\n--b--\r\n', 'delimiter line'],
  ['one dash behind', '--b\r\n\r\n1\r\n--b-\r\n', 'delimiter line'],
  ['three dashes behind', '--b\r\n\r\n1\r\n--b---\r\n', 'delimiter line'],
  ['a blank between the dashes', '--b\r\n\r\n1\r\n--b- -\r\n', 'delimiter line'],
  ['a blank before the dashes', '--b\r\n\r\n1\r\n--b --\r\n', 'delimiter line'],
  ['text behind blanks', '--b\r\n\r\n1\r\n--b-- readable\r\n', 'delimiter line'],
  ['text behind the first delimiter', '--b readable\r\n\r\n1\r\n--b--\r\n', 'delimiter line'],
  ['8-bit behind', '--b\xa0\r\n\r\n1\r\n--b--\r\n', 'delimiter line'],
  ['a form feed behind', '--b\f\r\n\r\n1\r\n--b--\r\n', 'delimiter line'],
  ['a CR behind', '--b\r\r\n\r\n1\r\n--b--\r\n', 'delimiter line'],
  ['a bare LF behind', '--b\n\r\n1\r\n--b--\r\n', 'delimiter line'],
  ['endless blanks behind', `--b${' '.repeat(3000)}\r\n\r\n1\r\n--b--\r\n`, 'delimiter line'],
  // Postfix would break it, and the second half would stand in the part's header.
  ['a line of more than 998 octets', `--b${' '.repeat(996)}\r\n\r\n1\r\n--b--\r\n`, 'delimiter line'],
  ['in the preamble too', '--bx\r\n--b\r\n\r\n1\r\n--b--\r\n', 'delimiter line'],
  ['right behind a header', '--b\r\n\r\n--bx\r\n--b--\r\n', 'delimiter line'],
  ['a malformed line in a header', '--b\r\nreadable text\r\n\r\n1\r\n--b--\r\n', 'part header'],
  ['a continuation first in a header', '--b\r\n A: x\r\n\r\n1\r\n--b--\r\n', 'part header'],
  ['a field name of dashes in a header', '--b\r\n-- : x\r\n\r\n1\r\n--b--\r\n', 'part header'],
  ['a delimiter in a header', '--b\r\nA: x\r\n--b\r\n\r\n1\r\n--b--\r\n', 'part header'],
  ['two delimiters in a row', '--b\r\n--b\r\n\r\n1\r\n--b--\r\n', 'part header'],
  ['8-bit in a field name', '--b\r\n\xc4: x\r\n\r\n1\r\n--b--\r\n', 'part header'],
  ['1001 fields', `--b\r\n${'A: x\r\n'.repeat(1001)}\r\n1\r\n--b--\r\n`, 'part header too large'],
  ['100,000 fields', `--b\r\n${'A:\r\n'.repeat(100_000)}\r\n1\r\n--b--\r\n`, 'part header too large'],
  ['a header of 256 KiB and more', `--b\r\nA: ${'x'.repeat(262_144)}\r\n\r\n1\r\n--b--\r\n`, 'part header too large'],
  ['an endless header', `--b\r\n${'A: x\r\n'.repeat(100_000)}`, 'part header too large'],
];

test('parts, cut at every offset', async t => {
  for (const [name, text, parts, [preamble, epilogue] = ['', '']] of good) {
    await t.test(name, () => {
      const expected = { parts: parts.map(([header, body]) => ({ header, body })), preamble, epilogue, fault: null };
      assert.deepEqual(readInAllCuts(text, readerOf('b')), expected);
    });
  }
});

test('faults, cut at every offset', async t => {
  for (const [name, text, fault] of faulty) {
    await t.test(name, () => assert.equal(readInAllCuts(text, readerOf('b')).fault, fault));
  }
});

const boundaries: [name: string, boundary: string, valid: boolean][] = [
  ['of 0 octets', '', false],
  ['of 1 octet', 'b', true],
  ['of 70 octets', 'b'.repeat(70), true],
  ['of 71 octets', 'b'.repeat(71), false],
  ['of 1000 octets', 'b'.repeat(1000), false],
  ['of all octets there may be', "0aZ'()+_,-./:=? b", true],
  ['of a dash', '-', true],
  ['of dashes', '--------', true],
  ['with a blank within', 'a b', true],
  ['with a blank at its end', 'a ', false],
  ['of a blank', ' ', false],
  ['with a tab', 'a\tb', false],
  ['with 8-bit', 'a\xe9', false],
  ['with a no-break space', 'a\xa0b', false],
  ['with NUL', 'a\0', false],
  ['with a line end', 'a\r\nb', false],
];

test('boundaries', async t => {
  assert.equal(isBoundary(null), false);
  for (const [name, boundary, valid] of boundaries) {
    await t.test(name, () => {
      assert.equal(isBoundary(boundary), valid);
      if (!valid) return;
      const text = `--${boundary}\r\n\r\n--\r\n-${boundary}\r\n--${boundary}--\r\n`;
      const { parts, fault } = readInAllCuts(text, readerOf(boundary));
      assert.deepEqual({ parts, fault }, { parts: [{ header: [], body: `--\r\n-${boundary}` }], fault: null });
    });
  }
});

test('a boundary that looks like a header field ends no header', () => {
  const text = '--x:y\r\nA: b\r\n--x:y\r\nC: d\r\n\r\n1\r\n--x:y--\r\n';
  assert.equal(readInAllCuts(text, readerOf('x:y')).fault, 'part header');
});

test('after a fault nothing is told any more', () => {
  const { parts, preamble, epilogue } = readerOf('b')([
    'pre\r\n--b\r\n\r\n1\r\n--bx\r\n--b\r\n\r\n2\r\n--b--\r\nepi\r\n',
    'more',
  ]);
  assert.deepEqual(
    { parts, preamble, epilogue },
    { parts: [{ header: [], body: '1' }], preamble: 'pre', epilogue: '' },
  );
});
