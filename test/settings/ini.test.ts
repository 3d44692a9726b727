import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIni } from '../../src/settings/ini.ts';

/** Keys of section `s` as `key=value`, after checking that there is no problem. */
function keysOf(text: string): string[] {
  const { sections, problems } = parseIni(`[s]\n${text}`);
  assert.deepEqual(problems, []);
  return [...(sections.get('s') ?? [])].map(([key, { value }]) => `${key}=${value}`);
}

const problemsOf = (source: string | Uint8Array): string[] =>
  parseIni(source).problems.map(({ line, text }) => `${line}: ${text}`);

const readings: readonly [what: string, text: string, keys: readonly string[]][] = [
  ['a plain key', 'a = b', ['a=b']],
  ['no blanks', 'a=b', ['a=b']],
  ['an empty value', 'a =', ['a=']],
  ['an empty key', '= b', ['=b']],
  ['comment signs in a value', 'a = b # c ; d', ['a=b # c ; d']],
  ['comment sign right after the separator', 'a =#b', ['a=#b']],
  ['comment signs in a key', 'a#b = c', ['a#b=c']],
  ['words that other parsers turn into types', 'a = true\nb = null\nc = 007', ['a=true', 'b=null', 'c=007']],
  ['quotes', `a = "b"\nc = 'd'`, ['a="b"', "c='d'"]],
  ['a colon without =', 'a: b', ['a=b']],
  ['a colon before the first =', 'a:b=c', ['a=b=c']],
  ['a colon after the first =', 'a=b:c', ['a=b:c']],
  ['a second =', 'a=b=c', ['a=b=c']],
  ['names that mean something to JavaScript', '__proto__ = a\nconstructor = b', ['__proto__=a', 'constructor=b']],
  ['continuation lines', 'a = b\n c\n\td', ['a=b\nc\nd']],
  ['a value that begins on the next line', 'a =\n  b', ['a=b']],
  ['a continuation after comments and blank lines', 'a = b\n# x\n\n  ; y\n c', ['a=b\nc']],
  ['a continuation that looks like a key', 'a = b\n c = d', ['a=b\nc = d']],
  ['an indented section is a continuation', 'a = b\n [t]', ['a=b\n[t]']],
  ['an unclosed section is a continuation', 'a = b\n[t', ['a=b\n[t']],
  ['an unclosed section keeps its comment', 'a = b\n[t # x]', ['a=b\n[t # x]']],
  ['CRLF', 'a = b\r\n\r\n c\r\nd = e\r\n', ['a=b\nc', 'd=e']],
  ['bare CR', 'a = b\rc = d', ['a=b', 'c=d']],
  [
    'line ends of str.splitlines',
    'a=1\vb=2\fc=3\x1cd=4\x1de=5\x1ef=6\x85g=7\u2028h=8\u2029i=9',
    ['a=1', 'b=2', 'c=3', 'd=4', 'e=5', 'f=6', 'g=7', 'h=8', 'i=9'],
  ],
  ['blanks of str.strip', 'a =\u3000\xa0\x1fb\u1680\u200a', ['a=b']],
  ['what is no blank in Python', 'a = \ufeffb\u180e\u200b', ['a=\ufeffb\u180e\u200b']],
  ['NUL', 'a = b\0c', ['a=b\0c']],
  ['the first octet of a line is no blank: BOM', '\ufeffa = b', ['\ufeffa=b']],
];

for (const [what, text, keys] of readings) test(`ini reads ${what}`, () => assert.deepEqual(keysOf(text), keys));

test('ini gives each key the line it stands in', () => {
  const { sections } = parseIni('\n[a]\n# x\nb = c\n d\ne = f\n[g]\r\nh = i');
  assert.deepEqual(Object.fromEntries(sections.get('a') ?? []), {
    b: { value: 'c\nd', line: 4 },
    e: { value: 'f', line: 6 },
  });
  assert.equal(sections.get('g')?.get('h')?.line, 8);
});

test('ini section names end before a comment and keep their blanks', () => {
  assert.deepEqual([...parseIni('[a] # x]\n[ b ]\n[c];]\n[[d]]').sections.keys()], ['a', ' b ', 'c', '[d]']);
});

test('ini skips one byte order mark', () => {
  for (const source of ['\ufeff[s]\na=b', Buffer.from('\ufeff[s]\na=b')]) {
    assert.equal(parseIni(source).sections.get('s')?.get('a')?.value, 'b');
  }
  assert.deepEqual(problemsOf('\ufeff\ufeff[s]'), ['1: "\\ufeff[s]" is neither "[section]" nor "key = value"']);
});

const faults: readonly [what: string, text: string, problems: readonly string[]][] = [
  ['a repeated key', '[s]\na=1\nb=2\na : 3', ['4: "a" is set already in line 2']],
  ['a second section of one name', '[s]\na=1\n[t]\n[s]\na=2', ['4: section "s" stands already in line 1']],
  ['a line without a separator', '[s]\nfoo', ['2: "foo" is neither "[section]" nor "key = value"']],
  ['an empty section name', '[]', ['1: a section needs a name']],
  ['keys before any section: once', 'a=1\nb=2\n[s]', ['1: "a" stands before the first section']],
  ['a continuation of nothing: once', '[s]\n x\n y\na=b', ['2: "x" continues a value, but there is none above']],
  ['an unclosed section at the top', '[s', ['1: "[s" continues a value, but there is none above']],
  ['a continuation of a faulty line', '[s]\na=1\nfoo\n bar', ['3: "foo" is neither "[section]" nor "key = value"']],
  [
    'several faults',
    '[s]\nfoo\na=1\na=2\n[]\n[s]',
    [
      '2: "foo" is neither "[section]" nor "key = value"',
      '4: "a" is set already in line 3',
      '5: a section needs a name',
      '6: section "s" stands already in line 1',
    ],
  ],
  [
    'hostile text: escaped and cut',
    `[s]\n\x1b[2J\x7f${'é'.repeat(100)}`,
    [`2: "\\u001b[2J\\u007f${'\\u00e9'.repeat(55)}"... is neither "[section]" nor "key = value"`],
  ],
];

for (const [what, text, problems] of faults)
  test(`ini complains about ${what}`, () => assert.deepEqual(problemsOf(text), problems));

test('ini keeps a faulty line away from the value above it', () => {
  assert.equal(parseIni('[s]\na=1\nfoo\n bar\na=2\n baz').sections.get('s')?.get('a')?.value, '1');
});

test('ini names the line of an octet that is not UTF-8', () => {
  const faulty: readonly [octets: string, line: number][] = [
    ['\xff', 1],
    ['[s]\na=\xe4\n', 2],
    ['[s]\na=\xef\xbf\xbd\nb=\xef\xbf\n', 3], // a real U+FFFD, then a truncated one
    ['[s]\r\na=\xc3\xa4\r\n\xed\xa0\x80', 3], // a surrogate
    ['[s]\na=\xc2\x85b=\xc0\xaf', 3], // U+0085 ends a line; an overlong slash
    ['[s]\na=\xf0\x9f', 2],
  ];
  for (const [octets, line] of faulty) {
    assert.equal(problemsOf(Buffer.from(octets, 'latin1'))[0], `${line}: not UTF-8`, JSON.stringify(octets));
  }
});

test('ini reads on behind an octet that is not UTF-8', () => {
  const octets = Buffer.from('[s]\na=\xe4\nfoo\n', 'latin1');
  assert.deepEqual(problemsOf(octets), ['2: not UTF-8', '3: "foo" is neither "[section]" nor "key = value"']);
});

test('ini takes linear time', () => {
  const keys = Array.from({ length: 1e5 }, (_, index) => `k${index}=`);
  const worst = {
    'many keys': `[s]\n${keys.join('\n')}`,
    'many continuations': `[s]\na=\n${' x\n'.repeat(3e5)}`,
    'many faults': 'x\n'.repeat(5e5),
    'many sections': `${Array.from({ length: 1e5 }, (_, index) => `[${index}]`).join('\n')}`,
    'blanks amid a line': `[s]\na=b${' '.repeat(1e6)}c`,
    'blanks at its end': `[s]\na=b${' '.repeat(1e6)}`,
    'blanks only': ' '.repeat(1e6),
    brackets: '['.repeat(1e6),
    separators: `[s]\n${':='.repeat(5e5)}`,
  };
  for (const [what, text] of Object.entries(worst)) {
    const start = performance.now();
    parseIni(Buffer.from(text));
    assert.ok(performance.now() - start < 2000, what);
  }
  assert.equal(parseIni(worst['many keys']).sections.get('s')?.size, 1e5);
});
