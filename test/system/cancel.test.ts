import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { unlessAborted } from '../../src/system/cancel.ts';

test('what comes first counts, and nothing listens afterwards', async () => {
  const { signal } = new AbortController();
  assert.equal(await unlessAborted(Promise.resolve(1), signal), 1);
  await assert.rejects(unlessAborted(Promise.reject(new Error('no')), signal), /no/);
  assert.equal(await unlessAborted(Promise.resolve(1), AbortSignal.abort()), null);
  assert.deepEqual(getEventListeners(signal, 'abort'), []);
});

test('a shared promise goes on for those who still wait', async () => {
  const shared = Promise.withResolvers<number>();
  const gone = new AbortController();
  const first = unlessAborted(shared.promise, gone.signal);
  const second = unlessAborted(shared.promise, new AbortController().signal);
  gone.abort();
  assert.equal(await first, null);
  shared.resolve(2);
  assert.equal(await second, 2);
  assert.deepEqual(getEventListeners(gone.signal, 'abort'), []);
});

test('a rejection that comes too late is dropped', async () => {
  const late = Promise.withResolvers<number>();
  const gone = new AbortController();
  const waiting = unlessAborted(late.promise, gone.signal);
  gone.abort();
  assert.equal(await waiting, null);
  late.reject(new Error('too late'));
  // An unhandled rejection would fail this test.
  await new Promise(resolve => setImmediate(resolve));
});
