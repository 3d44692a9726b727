import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Answer, Lookup } from '../../src/system/dns.ts';
import { cached, mailDns } from '../../src/system/dns-cache.ts';
import { DnsServer } from '../peers/dns-server.ts';
import { withTtl } from './dns-messages.ts';

const found = (ttl: number | null): Answer<string> => ({ records: ['192.0.2.1'], ttl });

/** A cached look-up whose clock and answer are at hand, with the names that came through to the look-up itself. */
class Bench {
  now = 0;
  readonly asked: string[] = [];
  answer: Answer<string> | ((name: string) => Promise<Answer<string>>);
  readonly lookup: Lookup<string>;

  constructor(answer: Bench['answer'], limit?: number) {
    this.answer = answer;
    const direct = async (name: string) => {
      this.asked.push(name);
      return typeof this.answer === 'function' ? await this.answer(name) : this.answer;
    };
    this.lookup = cached(direct, () => this.now, limit);
  }
}

describe('how long an answer is kept, in seconds', () => {
  for (const [what, answer, seconds] of [
    ['its TTL', found(60), 60],
    ['a second', found(1), 1],
    ['TTL 0: not at all', found(0), 0],
    ['5 minutes where the TTL is unknown', found(null), 300],
    ['a day at most', found(2 ** 31 - 1), 86_400],
    ['no such name: not at all', { absent: 'ENOTFOUND' }, 0],
    ['no such record: not at all', { absent: 'ENODATA' }, 0],
    ['trouble: not at all', { trouble: 'ESERVFAIL' }, 0],
  ] as const) {
    test(what, async () => {
      const made = new Bench(answer);
      made.now = 12_345;
      assert.deepEqual(await made.lookup('a.test'), answer);
      made.now += seconds * 1000 - 1;
      if (seconds > 0) assert.deepEqual(await made.lookup('a.test'), answer);
      assert.equal(made.asked.length, 1);
      made.now += 1;
      assert.deepEqual(await made.lookup('a.test'), answer);
      assert.equal(made.asked.length, 2);
    });
  }
});

test('the time counts from the answer on', async () => {
  const gate = Promise.withResolvers<Answer<string>>();
  const made = new Bench(() => gate.promise);
  const first = made.lookup('a.test');
  made.now = 10_000;
  gate.resolve(found(5));
  await first;
  made.now = 14_999;
  await made.lookup('a.test');
  assert.equal(made.asked.length, 1);
});

test('one name in any case, with or without the last dot', async () => {
  const made = new Bench(found(60));
  for (const name of ['a.test', 'A.Test', 'a.test.', 'A.TEST.']) await made.lookup(name);
  assert.deepEqual(made.asked, ['a.test']);
  await made.lookup('a.test..');
  assert.equal(made.asked.length, 2);
});

test('look-ups of the same name at the same time are one, whatever comes of it', async () => {
  const answers = [found(60), found(0), { absent: 'ENOTFOUND' }, { trouble: 'timeout' }];
  for (const answer of answers) {
    const gate = Promise.withResolvers<Answer<string>>();
    const made = new Bench(() => gate.promise);
    const all = ['a.test', 'A.test', 'a.test.', 'b.test'].map(made.lookup);
    gate.resolve(answer);
    assert.deepEqual(await Promise.all(all), Array(4).fill(answer));
    assert.deepEqual(made.asked, ['a.test', 'b.test']);
  }
});

test('a look-up that breaks is not in the way of the next', async () => {
  const made = new Bench(() => Promise.reject(new Error('broken')));
  await assert.rejects(made.lookup('a.test'));
  made.answer = found(60);
  assert.deepEqual(await made.lookup('a.test'), found(60));
});

test('the names that were used the longest time ago are forgotten', async () => {
  const made = new Bench(found(60), 2);
  for (const name of ['a.test', 'b.test', 'a.test', 'c.test', 'a.test']) await made.lookup(name);
  assert.deepEqual(made.asked, ['a.test', 'b.test', 'c.test']);
  await made.lookup('b.test');
  assert.equal(made.asked.length, 4);
});

test('negative answers take no room', async () => {
  const made = new Bench(async name => (name === 'a.test' ? found(60) : { absent: 'ENOTFOUND' }), 2);
  await made.lookup('a.test');
  for (let n = 0; n < 10; n++) await made.lookup(`${n}.test`);
  made.asked.length = 0;
  await made.lookup('a.test');
  assert.deepEqual(made.asked, []);
});

test('an answer is never older than its TTL, and no more are kept than the limit', async () => {
  const step = fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd'), wait: fc.nat(3000), ttl: fc.nat(4) });
  const property = fc.asyncProperty(
    fc.array(step, { maxLength: 40 }),
    fc.integer({ min: 1, max: 4 }),
    async (steps, limit) => {
      const made = new Bench(found(0), limit);
      const bornAt = new Map<Answer<string>, number>();
      for (const { name, wait, ttl } of steps) {
        made.now += wait;
        const fresh = found(ttl);
        made.answer = fresh;
        const answer = await made.lookup(name);
        if (answer === fresh) bornAt.set(fresh, made.now);
        assert.ok('ttl' in answer && answer.ttl !== null);
        const age = made.now - (bornAt.get(answer) ?? Number.NaN);
        assert.ok(age === 0 || age < answer.ttl * 1000, `${age} ms`);
      }
      const kept = new Set(['a', 'b', 'c', 'd']);
      made.answer = { absent: 'ENODATA' };
      for (const name of kept) if ('absent' in (await made.lookup(name))) kept.delete(name);
      assert.ok(kept.size <= limit);
    },
  );
  await fc.assert(property, { numRuns: 300 });
});

test('at a name server: each type apart, TTLs as published', async () => {
  await using dns = await DnsServer.listen();
  dns.mx('a.test', [{ preference: 1, exchange: 'mx.test' }]);
  dns.a('a.test', { answer: ['192.0.2.1'], send: withTtl(30) });
  dns.aaaa('a.test', { answer: ['2001:db8::1'], send: withTtl(0) });
  let now = 0;
  const { mx, a, aaaa } = mailDns([{ address: '127.0.0.1', port: dns.port }], () => now);
  const all = async () => {
    dns.questions.length = 0;
    const answers = await Promise.all([mx('a.test'), a('a.test'), aaaa('a.test')]);
    assert.ok(answers.every(answer => 'records' in answer));
    return dns.questions.toSorted();
  };
  assert.deepEqual(await all(), ['A a.test', 'AAAA a.test', 'MX a.test']);
  now = 29_999;
  assert.deepEqual(await all(), ['AAAA a.test']);
  now = 30_000;
  assert.deepEqual(await all(), ['A a.test', 'AAAA a.test']);
  now = 300_000;
  assert.deepEqual(await all(), ['A a.test', 'AAAA a.test', 'MX a.test']);
});
