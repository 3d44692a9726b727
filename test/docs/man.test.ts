/** The man pages say what the source says: keys, defaults, limits, variables, exit codes. mandoc and groff read them without a warning. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { codeIn, readDocument, tablesOf } from './markdown.ts';
import { root, sources } from './sources.ts';

const plainSource = (path: string): string => sources.find(source => source.path === path)?.plain ?? '';
const settingsSource = plainSource('src/settings/settings.ts');

type Key = Readonly<{ name: string; isList: boolean; rule: string; absent: string }>;

/** Where the settings read a key: `one('key', rule, default)` or `many('key', rule)`. */
const keys: readonly Key[] = [
  ...settingsSource.matchAll(/\b(one|many)\('(\w+)', rule\.(\w+(?:\([^)]*\))?)(?:, (.+))?\)[,;]$/gm),
].map(([, how, name = '', rule = '', absent = '']) => ({ name, isList: how === 'many', rule, absent }));

/** Items of a page's tagged lists: the arguments of `.It Va`, `.It Ev` or plain `.It`, and the text behind them. */
function itemsOf(page: string, macro: string): ReadonlyMap<string, string> {
  const pieces = page.split(/^\.It /m).slice(1);
  const wanted = pieces.filter(piece => macro === '' || piece.startsWith(`${macro} `));
  return new Map(
    wanted.flatMap(piece => {
      const [first = '', ...rest] = piece.split(/^\.(?:El|S[hs])/m, 1)[0]?.split('\n') ?? [];
      const names = first.split(/\s+(?:,\s+)?/).filter(word => word !== macro && word !== ',');
      return names.map(name => [name, rest.join(' ')] as const);
    }),
  );
}

const page = readDocument('docs/filtermail.1');
const ini = itemsOf(readDocument('docs/chatmail.ini.5'), 'Va');
const readme =
  tablesOf(readDocument('README.md')).find(({ columns }) => columns.join() === 'key,default,used by')?.rows ?? [];
const inReadme = new Map(
  readme.map(([key = '', absent = '', modes = '']) => [codeIn(key)[0] ?? '', { absent, modes }]),
);

const factOf = (item: string, name: string): string => new RegExp(`${name}: (.+?)\\.(?= |$)`).exec(item)?.[1] ?? '';

/** The default of a key in words; null where it is more than a constant. */
function defaultOf({ name, isList, absent }: Key): string | null {
  if (name === 'mail_domain') return 'required';
  if (name === 'filtermail_dns_servers' || name === 'filtermail_spool_dir') return null;
  if (isList) return 'empty';
  if (/^[\d_]+$/.test(absent)) return absent.replaceAll('_', '');
  return absent.slice(1, -1).replace('…', '<mail_domain>');
}

test('every key that the settings read is in chatmail.ini(5), README and chatmail.ini.example, and no other', () => {
  const names = keys.map(({ name }) => name).sort();
  assert.ok(names.length > 20);
  const example = readDocument('chatmail.ini.example').matchAll(/^#?([a-z_]+) =/gm);
  assert.deepEqual([...ini.keys()].sort(), names);
  assert.deepEqual([...inReadme.keys()].sort(), names);
  assert.deepEqual([...example].map(([, name]) => name).sort(), names);
});

for (const key of keys) {
  test(`${key.name}: default, limits and modes`, () => {
    const item = ini.get(key.name) ?? '';
    const { absent = '', modes } = inReadme.get(key.name) ?? {};
    assert.equal(factOf(item, 'Default'), absent.replaceAll('`', ''));
    assert.equal(factOf(item, 'Used by'), modes);
    assert.equal(factOf(item, 'Default'), defaultOf(key) ?? factOf(item, 'Default'));
    const limits = /^wholeNumber\((.+), (.+)\)$/.exec(key.rule);
    const most = limits?.[2] === '2 ** 31 - 1' ? '2147483647' : limits?.[2]?.replaceAll('_', '');
    if (limits !== null) assert.ok(item.includes(`${limits[1]} to ${most}`), item);
    if (key.rule === 'port') assert.ok(item.includes('1 to 65535'), item);
  });
}

test('every environment variable that the source reads is in filtermail(1)', () => {
  const read = [...settingsSource.matchAll(/\benv\.([A-Z_]+)/g)].map(([, name = '']) => name);
  // Node reads those of the authorities by itself; bin/filtermail sets that of the compile cache.
  const others = ['SSL_CERT_FILE', 'SSL_CERT_DIR', 'NODE_EXTRA_CA_CERTS', 'NODE_COMPILE_CACHE'];
  assert.ok(readFileSync(`${root}bin/filtermail`, 'utf8').includes('NODE_COMPILE_CACHE='));
  const documented = [...itemsOf(page, 'Ev').keys()].filter(name => name !== 'Ev');
  assert.deepEqual(documented.sort(), [...new Set([...read, ...others])].sort());
  const elsewhere = sources.filter(({ path, text }) => path !== 'src/main.ts' && text.includes('process.env'));
  assert.deepEqual(
    elsewhere.map(({ path }) => path),
    [],
  );
});

test('every exit code and signal of main.ts is in filtermail(1), and no other', () => {
  const main = plainSource('src/main.ts');
  const codes = [...main.matchAll(/^const exit\w+ = (\d+);|process\.exit\((\d+)\)/gm)].map(
    ([, one, other]) => one ?? other ?? '',
  );
  const documented = [...itemsOf(page, '').keys()].filter(name => /^\d+$/.test(name));
  assert.deepEqual(documented.sort(), [...new Set(codes)].sort());
  for (const [, signal = ''] of main.matchAll(/process\.on\('(SIG\w+)'/g))
    assert.ok(itemsOf(page, 'Dv').has(signal), signal);
});

for (const [tool, args] of [
  ['mandoc', ['-T', 'lint', '-W', 'warning']],
  ['groff', ['-mdoc', '-Tutf8', '-ww', '-z']],
] as const) {
  const isInstalled = spawnSync(tool, ['--version']).error === undefined;
  for (const path of ['docs/filtermail.1', 'docs/chatmail.ini.5']) {
    test(`${tool} has nothing to say of ${path}`, { skip: isInstalled ? false : `${tool} is not installed` }, () => {
      const { stdout, stderr } = spawnSync(tool, [...args, path], { cwd: root, encoding: 'utf8' });
      assert.equal(stdout + stderr, '');
    });
  }
}
