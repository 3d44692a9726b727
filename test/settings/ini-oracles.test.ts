import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { type Ini, parseIni } from '../../src/settings/ini.ts';

type OracleReading = { line: number } | { sections: Record<string, Record<string, [value: string, line: number]>> };

const npmIni: { parse(text: string): Record<string, Record<string, unknown>> } = createRequire(import.meta.url)('ini');

const CASES = 20_000;

/** Debian's Python first: another `python3` in PATH has its own modules. */
const python = ['/usr/bin/python3', 'python3'].find(
  command => spawnSync(command, ['-c', 'import iniconfig']).status === 0,
);

/** How iniconfig reads the texts; one process for all of them. */
function readWithIniconfig(command: string, texts: readonly string[]): readonly OracleReading[] {
  const script = fileURLToPath(new URL('iniconfig_oracle.py', import.meta.url));
  const { status, stdout, stderr } = spawnSync(command, [script], {
    input: JSON.stringify(texts),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

/** Our reading in the oracle's form. */
function sectionsOf({ sections }: Ini): unknown {
  const entries = (section: ReadonlyMap<string, { value: string; line: number }>) =>
    [...section].map(([key, { value, line }]) => [key, [value, line]]);
  return Object.fromEntries([...sections].map(([name, section]) => [name, Object.fromEntries(entries(section))]));
}

const lineEnd = fc.constantFrom(
  '\n',
  '\n',
  '\n',
  '\r\n',
  '\r',
  '\v',
  '\f',
  '\x1c',
  '\x1d',
  '\x1e',
  '\x85',
  '\u2028',
  '\u2029',
  '\n\n',
  '',
);
const blank = fc.constantFrom('', '', '', ' ', '\t', '  ', '\x1f', '\xa0', '\u3000', '\u1680', '\u200a', '\u205f');
const piece = fc.constantFrom(
  'a',
  'b',
  'params',
  'mail_domain',
  '=',
  ':',
  '#',
  ';',
  '[',
  ']',
  '[a]',
  '[b]',
  '"',
  "'",
  'true',
  '\\',
  '\\n',
  '%',
  '$',
  '\0',
  '\ufeff',
  '\u180e',
  '\u200b',
  '\x7f',
  'ä',
  '😀',
  '__proto__',
  'constructor',
  ' ',
  '\t',
  '\xa0',
  '-',
  '1',
);
const wildLine = fc.array(piece, { maxLength: 8 }).map(pieces => pieces.join(''));
const name = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', '__proto__x', 'ä b', '');
const entryLine = fc.tuple(name, blank, fc.constantFrom('=', ':'), blank, wildLine).map(parts => parts.join(''));
const sectionLine = fc.tuple(name, blank, fc.constantFrom('', '', '# x', ';]')).map(([n, b, c]) => `[${n}]${b}${c}`);
const line = fc.oneof(
  { weight: 4, arbitrary: entryLine },
  { weight: 2, arbitrary: sectionLine },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom(' ', '\t', '\u3000'), wildLine).map(parts => parts.join('')) },
  { weight: 1, arbitrary: fc.tuple(blank, fc.constantFrom('#', ';'), wildLine).map(parts => parts.join('')) },
  { weight: 1, arbitrary: wildLine },
);
const start = fc.constantFrom('', '', '[a]\n', '[params]\r\n', '\ufeff[a]\n', '\ufeff');
const text = fc
  .tuple(start, fc.array(fc.tuple(line, lineEnd), { maxLength: 7 }))
  .map(([first, lines]) => first + lines.flat().join(''));

const skip = python || process.env.CI === 'true' ? false : 'no Python with iniconfig (Debian: python3-iniconfig)';

test('ini reads as iniconfig does', { skip }, t => {
  assert.ok(python, 'Python with iniconfig is missing (Debian: python3-iniconfig)');
  const seed = fc.readConfigureGlobal().seed ?? 1;
  const texts = fc.sample(text, { numRuns: CASES, seed });
  const readings = readWithIniconfig(python, texts);
  assert.equal(readings.length, CASES);

  let good = 0;
  for (const [index, reading] of readings.entries()) {
    const source = texts[index] ?? '';
    const shown = `seed ${seed}: ${JSON.stringify(source)}`;
    for (const ours of [parseIni(source), parseIni(Buffer.from(source))]) {
      if ('line' in reading) {
        // iniconfig stops at its first error; it must be among ours.
        assert.ok(
          ours.problems.some(problem => problem.line === reading.line),
          `${shown} line ${reading.line}`,
        );
      } else {
        assert.deepEqual(ours.problems, [], shown);
        assert.deepEqual(sectionsOf(ours), reading.sections, shown);
      }
    }
    if ('sections' in reading) good++;
  }
  t.diagnostic(`seed ${seed}: ${good} of ${CASES} texts have no error`);
  assert.ok(good > CASES / 10, 'the generator makes too few texts without an error');
});

test('ini reads plain values as the npm package ini does', () => {
  const key = fc.stringMatching(/^[a-z][a-z_]{0,15}$/);
  const word = fc.stringMatching(/^[A-Za-z0-9@./_-]{1,20}$/).filter(text => !/^(true|false|null)$/.test(text));
  const value = fc.array(word, { maxLength: 3 }).map(words => words.join(' '));
  const section = fc.dictionary(key, value, { maxKeys: 6, noNullPrototype: true });
  fc.assert(
    fc.property(section, keys => {
      const written = `[params]\n${Object.entries(keys)
        .map(([k, v]) => `${k} = ${v}\n`)
        .join('')}`;
      const ours = [...(parseIni(written).sections.get('params') ?? [])].map(([k, { value }]) => [k, value]);
      assert.deepEqual(Object.fromEntries(ours), { ...npmIni.parse(written).params });
    }),
    { numRuns: 500 },
  );
});
