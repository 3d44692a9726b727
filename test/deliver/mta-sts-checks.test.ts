// When the id of a policy is asked for and the policy fetched.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Bench, day, hour, listsOne, listsOther, minute, noSuchName, policy, second } from './mta-sts-bench.ts';

describe('what fails is no reason to refuse mail, and is tried again after 5 minutes', () => {
  for (const [what, published, work] of [
    ['there is no record', noSuchName, ['id a.test']],
    ['the policy cannot be fetched', { id: '1', policy: { trouble: 'ECONNREFUSED' } }, ['id a.test', 'fetch a.test']],
  ] as const) {
    test(what, async () => {
      const made = new Bench(published);
      for (let round = 0; round < 3; round++) {
        made.now = round * 5 * minute;
        assert.ok(await made.delivers());
        assert.deepEqual(made.did(), work);
        made.now += 5 * minute - 1;
        assert.ok(await made.delivers());
        assert.deepEqual(made.did(), []);
      }
      made.published = { id: '2', policy: listsOther };
      made.now = 15 * minute;
      assert.ok(await made.delivers());
      assert.equal(await made.delivers(), false);
    });
  }
});

describe('when a policy is fetched, with a message every 5 minutes', () => {
  for (const [what, maxAge, days, expected] of [
    ['4 weeks: at the end of each but for a day', 28 * day, 60, [0, 27 * day, 54 * day]],
    ['a week', 7 * day, 20, [0, 6 * day, 12 * day, 18 * day]],
    ['2 days', 2 * day, 3, [0, day, 2 * day]],
    ['a day: in the middle', day, 2, [0, 12 * hour, 24 * hour, 36 * hour]],
    ['an hour', hour, 0.1, [0, 0.5 * hour, hour, 1.5 * hour, 2 * hour]],
    ['10 minutes', 10 * minute, 0.01, [0, 5 * minute, 10 * minute]],
    ['a second: it is over before it comes to use', second, 0.01, [0, 5 * minute, 10 * minute]],
    ['none', 0, 0.01, [0, 5 * minute, 10 * minute]],
  ] as const) {
    test(what, async () => {
      const made = new Bench({ id: '1', policy: policy('enforce', ['mx1'], maxAge) });
      const fetchedAt: number[] = [];
      const daysAsked = new Set<number>();
      for (; made.now < days * day; made.now += 5 * minute) {
        const { note } = (await made.deliver('a.test', ['mx1', 'mx2'])) as { note: string | null };
        // In use without a gap, the first message apart.
        if (maxAge >= 10 * minute) assert.equal(note === null, made.now === 0, `${made.now} ms`);
        const did = made.did();
        if (did.includes('fetch a.test')) fetchedAt.push(made.now);
        if (did.includes('id a.test')) daysAsked.add(Math.floor(made.now / day));
      }
      assert.deepEqual(fetchedAt, expected);
      assert.equal(daysAsked.size, Math.ceil(days), 'asked for every day');
    });
  }

  test('and at once when a daily question brings a new id', async () => {
    const made = await Bench.with(listsOne);
    made.published = { id: '2', policy: listsOther };
    made.now = day - 1;
    assert.ok(await made.delivers());
    assert.deepEqual(made.did(), []);
    made.now = day;
    assert.ok(await made.delivers());
    assert.deepEqual(made.did(), ['id a.test', 'fetch a.test']);
    assert.equal(await made.delivers(), false);
  });
});

describe('a known policy is checked again', () => {
  for (const [what, published, after] of [
    ['a day after it was seen to be the same', { id: '1', policy: listsOne }, day],
    ['5 minutes after the record was gone', noSuchName, 5 * minute],
    ['5 minutes after it could not be fetched', { id: '2', policy: { trouble: 'ECONNREFUSED' } }, 5 * minute],
  ] as const) {
    test(what, async () => {
      const made = await Bench.with(listsOne);
      made.published = published;
      for (made.now = day; made.now < 3 * day; made.now += after) {
        assert.ok(await made.delivers());
        assert.equal(made.did()[0], 'id a.test');
        made.now += after - 1;
        assert.ok(await made.delivers());
        assert.deepEqual(made.did(), []);
        made.now -= after - 1;
      }
    });
  }
});

describe('before mail is refused', () => {
  test('the id is read again, and again after a minute', async () => {
    const made = await Bench.with(listsOther);
    for (const [now, work] of [
      [0, []],
      [minute - 1, []],
      [minute, ['id a.test']],
      [2 * minute - 1, []],
      [2 * minute, ['id a.test']],
    ] as const) {
      made.now = now;
      assert.equal(await made.delivers(), false);
      assert.deepEqual(made.did(), work);
    }
    assert.ok(await made.delivers('a.test', 'mx2'));
  });

  for (const [what, changed] of [
    ['lists the host', listsOne],
    ['is a test', policy('testing', [])],
    ['is none', policy('none', [])],
  ] as const) {
    test(`a new policy is fetched and used: it ${what}`, async () => {
      const made = await Bench.with(listsOther);
      made.now = minute;
      made.published = { id: '2', policy: changed };
      assert.ok(await made.delivers());
      assert.deepEqual(made.did(), ['id a.test', 'fetch a.test']);
      assert.ok(await made.delivers());
    });
  }

  test('what fails then is tried again after 5 minutes', async () => {
    for (const [published, work] of [
      [noSuchName, ['id a.test']],
      [{ id: '2', policy: { trouble: 'ECONNREFUSED' } }, ['id a.test', 'fetch a.test']],
    ] as const) {
      const made = await Bench.with(listsOther);
      made.published = published;
      for (const now of [minute, 6 * minute]) {
        made.now = now;
        assert.equal(await made.delivers(), false);
        assert.deepEqual(made.did(), work);
        made.now += 5 * minute - 1;
        assert.equal(await made.delivers(), false);
        assert.deepEqual(made.did(), []);
      }
      made.published = { id: '3', policy: listsOne };
      made.now += 1;
      assert.ok(await made.delivers());
    }
  });

  test('nothing is asked while some hosts are left', async () => {
    const made = await Bench.with(listsOther);
    made.now = hour;
    assert.ok('hosts' in (await made.deliver('a.test', ['mx1', 'mx2'])));
    assert.deepEqual(made.did(), []);
  });
});
