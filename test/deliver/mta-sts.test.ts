// The rules of MTA-STS, with a source of policies and a clock that do as they are told.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import type { Policy } from '../../src/deliver/mta-sts.ts';
import { describeReply } from '../../src/wire/reply.ts';
import { Bench, day, hour, listsOne, listsOther, minute, noSuchName, policy, second } from './mta-sts-bench.ts';

test('the first delivery waits for nothing, the next ones follow the policy', async () => {
  const id = Promise.withResolvers<void>();
  const fetched = Promise.withResolvers<void>();
  const made = new Bench({ id: '1', policy: listsOther });
  Object.assign(made, { idAfter: id.promise, policyAfter: fetched.promise });
  const all = { hosts: ['mx1', 'mx2'], note: null };
  assert.deepEqual(await made.deliver('a.test', all.hosts), all);
  assert.deepEqual(await made.deliver('a.test', all.hosts), all);
  assert.deepEqual(made.did(), ['id a.test']);
  id.resolve();
  await turn();
  assert.deepEqual(await made.deliver('a.test', all.hosts), all);
  assert.deepEqual(made.did(), ['fetch a.test']);
  fetched.resolve();
  await turn();
  const note = 'the MTA-STS policy of a.test does not list its MX mx1';
  assert.deepEqual(await made.deliver('a.test', all.hosts), { hosts: ['mx2'], note });
  assert.deepEqual(made.did(), []);
});

describe('hosts that a known policy leaves', () => {
  const [one, two, three] = ['mx1', 'mx2', 'mx3'];
  for (const [what, known, hosts, left, note] of [
    ['all listed', policy('enforce', [one, two]), [two, one], [two, one], null],
    ['some listed', policy('enforce', [one, three]), [three, two, one], [three, one], 'does not list its MX mx2'],
    ['some listed, testing', policy('testing', [one]), [one, two], [one, two], ', a test, does not list its MX mx2'],
    ['none listed, testing', policy('testing', []), [one, two], [one, two], ', a test, does not list its MX mx1, mx2'],
    ['all listed, testing', policy('testing', [one]), [one], [one], null],
    ['none listed, no policy any more', policy('none', []), [one, two], [one, two], null],
  ] as const) {
    test(what, async () => {
      const made = await Bench.with(known);
      const allowed = await made.deliver('a.test', hosts);
      assert.ok('hosts' in allowed);
      assert.deepEqual(allowed.hosts, left);
      if (note === null) assert.equal(allowed.note, null);
      else assert.ok(allowed.note?.startsWith('the MTA-STS policy of a.test') && allowed.note.endsWith(note));
      assert.deepEqual(made.did(), []);
    });
  }

  test('none listed', async () => {
    const made = await Bench.with(policy('enforce', ['mx3']));
    const allowed = await made.deliver('a.test', ['mx1', 'mx2']);
    assert.ok('reply' in allowed);
    const text = 'the MTA-STS policy of a.test lists none of its MX: mx1, mx2';
    assert.equal(describeReply(allowed.reply), `451 4.7.5 ${text}`);
    assert.equal(allowed.cause, text);
  });
});

describe('domains', () => {
  test('a name in any spelling is one', async () => {
    const made = await Bench.with(listsOther);
    made.now = minute;
    for (const name of ['a.test', 'A.Test', 'a.test.']) assert.equal(await made.delivers(name), false, name);
    assert.equal(made.sts.size, 1);
    assert.deepEqual(made.did(), ['id a.test']);
    await made.deliver(Buffer.from('bücher.test').toString('latin1'));
    assert.deepEqual(made.did(), ['id xn--bcher-kva.test', 'fetch xn--bcher-kva.test']);
  });

  for (const domain of [
    '[192.0.2.1]',
    '[IPv6:2001:db8::1]',
    '_relay.test',
    '_a',
    '',
    '.',
    'a b.test',
    'a..test',
    '\xff.test',
  ]) {
    test(`${JSON.stringify(domain)} has no policy`, async () => {
      const made = new Bench({ id: '1', policy: listsOther });
      for (let n = 0; n < 2; n++) assert.deepEqual(await made.deliver(domain), { hosts: ['mx1'], note: null });
      assert.deepEqual(made.did(), []);
      assert.equal(made.sts.size, 0);
    });
  }

  test('only the 10,000 that had mail last are remembered', async () => {
    const made = new Bench(noSuchName);
    for (let n = 0; n < 10_000; n++) {
      await made.sts.allowed(`${n}.test`, ['mx1'], made.gone.signal);
      if (n % 50 === 0) await turn();
    }
    await turn();
    await made.deliver('0.test');
    await made.deliver('new.test');
    assert.equal(made.sts.size, 10_000);
    made.did();
    await made.deliver('0.test');
    assert.deepEqual(made.did(), []);
    await made.deliver('1.test');
    assert.deepEqual(made.did(), ['id 1.test']);
  });
});

describe('a policy holds for its max_age', () => {
  for (const [what, published] of [
    ['the record is gone', noSuchName],
    ['the policy cannot be fetched', { id: '1', policy: { trouble: 'ECONNREFUSED' } }],
    ['a new policy cannot be fetched', { id: '2', policy: { trouble: 'ECONNREFUSED' } }],
  ] as const) {
    test(what, async () => {
      const made = await Bench.with(listsOther);
      made.published = published;
      for (; made.now < 7 * day; made.now += 6 * hour) assert.equal(await made.delivers(), false);
      made.now = 7 * day - 1;
      assert.equal(await made.delivers(), false);
      made.now = 7 * day;
      assert.ok(await made.delivers());
    });
  }
});

describe('reported is', () => {
  const refused = { id: '1', policy: { trouble: 'ECONNREFUSED' } };

  test('a policy that cannot be fetched, once as long as that stays the same', async () => {
    const made = new Bench(refused);
    for (const published of [refused, refused, { id: '1', policy: { trouble: 'ETIMEDOUT' } }, refused]) {
      made.published = published;
      await made.deliver();
      made.now += 5 * minute;
    }
    const reports = ['ECONNREFUSED', 'ETIMEDOUT', 'ECONNREFUSED'].map(cause => `MTA-STS policy of a.test: ${cause}`);
    assert.deepEqual(made.reports, reports);
    made.published = { id: '1', policy: listsOne };
    await made.deliver();
    made.published = { ...refused, id: '2' };
    made.now += day;
    await made.deliver();
    assert.equal(made.reports.length, 4);
  });

  for (const [what, known, reports] of [
    ['a record that is gone while its policy holds', listsOne, [`MTA-STS policy of a.test: ${noSuchName.none}`]],
    ['not a record that is gone after mode none', policy('none', []), []],
  ] as const) {
    test(what, async () => {
      const made = await Bench.with(known);
      made.published = noSuchName;
      made.now = day;
      await made.deliver();
      assert.deepEqual(made.reports, reports);
    });
  }

  test('not that there is no record', async () => {
    const made = new Bench(noSuchName);
    await made.deliver();
    assert.deepEqual(made.reports, []);
  });
});

test('whatever is published and fails: a policy that was fetched last and is not over decides, and little is asked', async () => {
  const step = fc.record({
    wait: fc.oneof(fc.nat(2 * minute), fc.nat(2 * hour), fc.nat(2 * day)),
    published: fc.option(
      fc.record({
        id: fc.constantFrom('1', '2', '3'),
        listed: fc.option(fc.subarray(['mx1', 'mx2'])),
        mode: fc.constantFrom('enforce' as const, 'testing' as const, 'none' as const),
        maxAge: fc.constantFrom(0, minute, hour, day, 7 * day),
      }),
    ),
  });
  const property = fc.asyncProperty(fc.array(step, { maxLength: 30 }), async steps => {
    const made = new Bench(noSuchName);
    let held = { policy: listsOne, until: 0 };
    let askedAt = Number.NEGATIVE_INFINITY;
    for (const { wait, published } of steps) {
      made.now += wait;
      made.published = noSuchName;
      if (published !== null) {
        const { id, mode, listed, maxAge } = published;
        made.published = { id, policy: listed === null ? { trouble: 'late' } : policy(mode, listed, maxAge) };
      }
      const before = made.now < held.until ? held.policy : null;
      const allowed = await made.deliver('a.test', ['mx1', 'mx2']);
      const did = made.did();
      if (did.includes('fetch a.test') && 'id' in made.published && 'mode' in made.published.policy)
        held = { policy: made.published.policy, until: made.now + made.published.policy.maxAge * second };
      const after = made.now < held.until ? held.policy : null;
      const hosts = 'hosts' in allowed ? allowed.hosts : [];
      const byPolicy = (decides: Policy | null) =>
        decides?.mode === 'enforce' ? ['mx1', 'mx2'].filter(decides.lists) : ['mx1', 'mx2'];
      // One that leaves no host is not believed before the new one is there.
      const expected = byPolicy(before);
      assert.deepEqual(hosts, expected.length > 0 ? expected : byPolicy(after));
      if (did.length > 0) {
        assert.ok(made.now - askedAt >= minute);
        askedAt = made.now;
      }
    }
  });
  await fc.assert(property, { numRuns: 300 });
});
