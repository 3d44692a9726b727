/** docs/replace.md: what differs is shown by tests that exist. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readDocument, tablesOf } from './markdown.ts';
import { root, withoutExpressions } from './sources.ts';

const document = readDocument('docs/replace.md');
const differences = tablesOf(document.slice(document.indexOf('\n## What differs\n')));

/** Titles of tests and of groups of them, with `…` for what is filled in. */
function titlesOf(path: string): readonly string[] {
  const plain = withoutExpressions(readFileSync(path, 'utf8'));
  return [...plain.matchAll(/\b(?:test|describe|suite|it)\(\s*(['"`])(.*?)\1/gs)].map(([, , title = '']) => title);
}

test('there are tables of differences, each with a test in its last column', () => {
  assert.ok(differences.length >= 5);
  for (const { under, columns } of differences) assert.deepEqual(columns, ['before', 'here', 'you', 'test'], under);
});

for (const { under, rows } of differences) {
  test(`${under}: each row names a test that exists`, () => {
    for (const row of rows) {
      assert.equal(row.length, 4, row.join(' | '));
      const [, file = '', title = ''] = /^`([\w/-]+)`: (.{10,})$/.exec(row[3] ?? '') ?? [];
      const path = `${root}test/${file}.test.ts`;
      assert.ok(file !== '' && existsSync(path), row.join(' | '));
      assert.ok(
        titlesOf(path).some(known => known.includes(title)),
        `${file} has no test "${title}"`,
      );
    }
  });
}
