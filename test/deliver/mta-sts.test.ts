// The rules of MTA-STS, with a source of policies and a clock that do as they are told.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { MtaSts, type Policy } from '../../src/deliver/mta-sts.ts';
import { describeReply } from '../../src/wire/reply.ts';

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

type Published = Readonly<{ id: string; policy: Policy | { trouble: string } }>;

function policy(mode: Policy['mode'], listed: readonly string[], maxAge = 7 * day): Policy {
  return { mode, maxAge: maxAge / second, lists: host => listed.includes(host) };
}

const listsOne = policy('enforce', ['mx1']);
const listsOther = policy('enforce', ['mx2']);
const noSuchName = { none: 'TXT of _mta-sts.a.test: ENOTFOUND' };

class Bench {
  now = 0;
  /** What every domain publishes, or why there is nothing. */
  published: Published | { none: string };
  /** What a question and a fetch wait for. */
  idAfter: Promise<void> = Promise.resolve();
  policyAfter: Promise<void> = Promise.resolve();
  /** Of all domains, since they were last looked at. */
  readonly #did: string[] = [];
  readonly reports: string[] = [];
  readonly sts: MtaSts;
  readonly gone = new AbortController();

  constructor(published: Bench['published']) {
    this.published = published;
    const source = {
      currentId: async (domain: string) => {
        this.#did.push(`id ${domain}`);
        await this.idAfter;
        return this.published;
      },
      fetch: async (domain: string) => {
        this.#did.push(`fetch ${domain}`);
        await this.policyAfter;
        return 'none' in this.published ? { trouble: this.published.none } : this.published.policy;
      },
    };
    this.sts = new MtaSts({ source, clock: () => this.now, report: trouble => this.reports.push(trouble) });
  }

  /** That knows the policy already. */
  static async with(first: Policy): Promise<Bench> {
    const made = new Bench({ id: '1', policy: first });
    await made.deliver();
    assert.deepEqual(made.did(), ['id a.test', 'fetch a.test']);
    return made;
  }

  did(): string[] {
    return this.#did.splice(0);
  }

  async deliver(domain = 'a.test', hosts: readonly string[] = ['mx1']) {
    const allowed = await this.sts.allowed(domain, hosts, this.gone.signal);
    await turn();
    return allowed;
  }

  /** Whether the one host is allowed. */
  async delivers(domain = 'a.test', host = 'mx1'): Promise<boolean> {
    return 'hosts' in (await this.deliver(domain, [host]));
  }
}

const { promise: never } = Promise.withResolvers<void>();

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
