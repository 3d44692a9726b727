/** What docs/replace.md says of the program as a file and of its process. */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { sources } from './sources.ts';

test('the program is large: Node alone has more than 100 MB', () => {
  const megabytes = statSync(process.execPath).size / 1_000_000;
  assert.ok(megabytes > 100 && megabytes < 200, `${megabytes} MB`);
});

test("Node's program names libatomic.so.1", () => {
  assert.ok(readFileSync(process.execPath).includes('libatomic.so.1\0'));
});

test('one thread does the work: nothing starts threads or processes', () => {
  const starters = sources.filter(({ text }) => /from 'node:(?:worker_threads|child_process|cluster)'/.test(text));
  assert.deepEqual(
    starters.map(({ path }) => path),
    [],
  );
});
