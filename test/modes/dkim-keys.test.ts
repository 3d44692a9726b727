// The cache of DKIM keys, with a clock and a resolver that do as they are told.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import type { DkimKey } from '../../src/check/dkim/key-record.ts';
import { DkimKeys, type KeyAnswer } from '../../src/modes/dkim-keys.ts';
import type { TxtAnswer } from '../../src/system/dns.ts';

const hour = 3_600_000;

function record(): TxtAnswer {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
  return { records: [[`p=${publicKey.export({ format: 'der', type: 'spki' }).toString('base64')}`]] };
}

function made(answer: TxtAnswer) {
  const state = { now: 0, answer, asked: [] as string[] };
  const lookup = (name: string) => {
    state.asked.push(name);
    return Promise.resolve(state.answer);
  };
  return { state, keys: new DkimKeys(lookup, () => state.now) };
}

function keyOf(answer: KeyAnswer): DkimKey {
  assert.ok('key' in answer);
  return answer.key;
}

test('a key is kept for an hour, and looked up once for all that ask at the same time', async () => {
  const { state, keys } = made(record());
  const answers = await Promise.all([keys.find('s', 'd.test'), keys.find('s', 'd.test')]);
  assert.ok(answers.every(answer => 'key' in answer && !answer.cached));
  state.now = hour - 1;
  const kept = await keys.find('s', 'd.test');
  assert.ok('key' in kept && kept.cached);
  assert.deepEqual(state.asked, ['s._domainkey.d.test']);
  state.now = hour;
  await keys.find('s', 'd.test');
  assert.equal(state.asked.length, 2);
});

test('an answer without a usable key is not kept', async () => {
  for (const answer of [
    { absent: 'ENOTFOUND' },
    { trouble: 'ESERVFAIL' },
    { records: [['p=']] },
    { records: [['x']] },
  ]) {
    const { state, keys } = made(answer);
    assert.ok(!('key' in (await keys.find('s', 'd.test'))));
    state.answer = record();
    assert.ok('key' in (await keys.find('s', 'd.test')));
  }
});

test('a fresh look-up brings a rotated key at once, and an unchanged one not again for a minute', async () => {
  const { state, keys } = made(record());
  const failed = keyOf(await keys.find('s', 'd.test'));
  assert.equal(await keys.findFresh('s', 'd.test', failed), null);
  assert.equal(state.asked.length, 2);
  const same = keyOf(await keys.find('s', 'd.test'));
  state.now = 59_999;
  state.answer = record();
  assert.equal(await keys.findFresh('s', 'd.test', same), null);
  assert.equal(state.asked.length, 2);
  state.now = 60_000;
  const fresh = await keys.findFresh('s', 'd.test', same);
  assert.ok(fresh !== null && 'key' in fresh && !fresh.cached);
  assert.deepEqual(await keys.findFresh('s', 'd.test', same), { key: fresh.key, cached: true }, 'another came already');
  state.answer = { trouble: 'timeout' };
  state.now = 200_000;
  assert.deepEqual(await keys.findFresh('s', 'd.test', fresh.key), { trouble: 'timeout' });
});

test('records in another order are the same key', async () => {
  const answer = record();
  assert.ok('records' in answer);
  const { state, keys } = made({ records: [...answer.records, ['v=spf1 -all']] });
  const failed = keyOf(await keys.find('s', 'd.test'));
  state.answer = { records: [['v=spf1 ', '-all'], ...answer.records] };
  assert.equal(await keys.findFresh('s', 'd.test', failed), null);
});

test('at most 1000 keys, the least recently used go first', async () => {
  const { state, keys } = made(record());
  for (let n = 0; n < 1000; n++) await keys.find('s', `d${n}.test`);
  await keys.find('s', 'd0.test');
  await keys.find('s', 'new.test');
  assert.equal(keys.size, 1000);
  const asked = state.asked.length;
  await keys.find('s', 'd0.test');
  assert.equal(state.asked.length, asked);
  await keys.find('s', 'd1.test');
  assert.equal(state.asked.length, asked + 1);
});
