// What deliveries wait for, and how much is under way at the same time.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Bench, day, listsOne, listsOther, minute, never, noSuchName } from './mta-sts-bench.ts';

describe('waiting', () => {
  let limits: { ms: number; end: AbortController }[] = [];
  beforeEach(() => {
    limits = [];
    mock.method(AbortSignal, 'timeout', (ms: number) => {
      const end = new AbortController();
      limits.push({ ms, end });
      return end.signal;
    });
  });
  afterEach(() => mock.restoreAll());

  /** A delivery that would be refused, while the answers are late. */
  async function waiting(late: 'idAfter' | 'policyAfter') {
    const made = await Bench.with(listsOther);
    const answer = Promise.withResolvers<void>();
    made.now = minute;
    made[late] = answer.promise;
    made.published = { id: '2', policy: listsOne };
    let outcome: string | null = null;
    const wait = () =>
      made.sts.allowed('a.test', ['mx1'], made.gone.signal).then(allowed => {
        outcome = 'reply' in allowed ? 'refused' : 'allowed';
        return outcome;
      });
    const delivery = wait();
    await turn();
    assert.equal(outcome, null);
    return { made, answer, wait, delivery };
  }

  for (const late of ['idAfter', 'policyAfter'] as const) {
    test(`${late}: 10 s, and what comes later is used from then on`, async () => {
      const { made, answer, wait, delivery } = await waiting(late);
      const other = wait();
      assert.deepEqual(
        limits.map(({ ms }) => ms),
        [10_000, 10_000],
      );
      limits[0]?.end.abort();
      assert.equal(await delivery, 'refused');
      const did = late === 'idAfter' ? ['id a.test'] : ['id a.test', 'fetch a.test'];
      assert.deepEqual(made.did(), did, 'one check for both');
      answer.resolve();
      assert.equal(await other, 'allowed');
      assert.ok(await made.delivers());
    });

    test(`${late}: until the delivery is given up`, async () => {
      const { made, answer, delivery } = await waiting(late);
      made.gone.abort();
      assert.equal(await delivery, 'refused');
      answer.resolve();
      await turn();
      assert.ok(await made.delivers());
    });
  }

  test('a delivery that is given up before waits for nothing', async () => {
    const made = await Bench.with(listsOther);
    made.now = minute;
    made.idAfter = never;
    made.gone.abort();
    assert.equal(await made.delivers(), false);
  });
});

describe('at the same time', () => {
  test('8 policies are fetched; a domain beyond them has its chance with its next message', async () => {
    const fetched = Promise.withResolvers<void>();
    const made = new Bench({ id: '1', policy: listsOther });
    made.policyAfter = fetched.promise;
    for (let n = 0; n < 20; n++) assert.ok(await made.delivers(`${n}.test`));
    assert.equal(made.did().filter(work => work.startsWith('fetch')).length, 8);
    assert.ok(await made.delivers('19.test'));
    assert.deepEqual(made.did(), ['id 19.test']);
    fetched.resolve();
    await turn();
    assert.ok(await made.delivers('19.test'));
    assert.deepEqual(made.did(), ['id 19.test', 'fetch 19.test']);
    assert.equal(await made.delivers('19.test'), false);
  });

  test('100 ids are asked for', async () => {
    const id = Promise.withResolvers<void>();
    const made = new Bench(noSuchName);
    made.idAfter = id.promise;
    for (let n = 0; n < 200; n++) assert.ok(await made.delivers(`${n}.test`));
    assert.equal(made.did().length, 100);
    id.resolve();
    await turn();
    assert.ok(await made.delivers('199.test'));
    assert.deepEqual(made.did(), ['id 199.test']);
  });

  test('a delivery that would be refused does not stand back', async () => {
    const made = await Bench.with(listsOther);
    const fetched = Promise.withResolvers<void>();
    made.policyAfter = fetched.promise;
    for (let n = 0; n < 8; n++) await made.deliver(`${n}.test`);
    made.idAfter = never;
    for (let n = 8; n < 200; n++) await made.deliver(`${n}.test`);
    made.did();
    made.now = day;
    made.idAfter = Promise.resolve();
    made.published = { id: '2', policy: listsOne };
    const delivery = made.delivers();
    await turn();
    assert.deepEqual(made.did(), ['id a.test', 'fetch a.test']);
    fetched.resolve();
    assert.ok(await delivery);
  });
});
