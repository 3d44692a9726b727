import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RateLimiter } from '../../src/check/rate.ts';

const minute = 60_000;

/** How many of `tries` messages at one time are accepted. */
function acceptedAt(limiter: RateLimiter, key: string, now: number, tries: number): number {
  return Array.from({ length: tries }, () => limiter.admit(key, now)).filter(wait => wait === 0).length;
}

test('a burst, then one an interval', () => {
  const limiter = new RateLimiter(60, 10);
  assert.equal(acceptedAt(limiter, 'a', 0, 50), 10);
  assert.equal(acceptedAt(limiter, 'a', 999, 50), 0);
  assert.equal(acceptedAt(limiter, 'a', 1000, 50), 1);
  assert.equal(acceptedAt(limiter, 'a', 1999, 50), 0);
  assert.equal(acceptedAt(limiter, 'a', 4000, 50), 3);
});

test('the burst is full again after burst intervals, and never more than full', () => {
  const limiter = new RateLimiter(60, 10);
  assert.equal(acceptedAt(limiter, 'a', 0, 50), 10);
  assert.equal(acceptedAt(limiter, 'a', 10_000, 50), 10);
  assert.equal(acceptedAt(limiter, 'a', 1e9, 50), 10);
});

test('in the long run no more than the rate', () => {
  for (const [perMinute, burst] of [
    [60, 10],
    [7, 3],
    [1, 1],
    [1000, 1],
  ] as const) {
    const limiter = new RateLimiter(perMinute, burst);
    let accepted = 0;
    for (let now = 0; now < 60 * minute; now += 10) if (limiter.admit('a', now) === 0) accepted++;
    const allowed = perMinute * 60 + burst;
    assert.ok(accepted <= allowed && accepted >= allowed - burst - 1, `${accepted} of ${allowed}`);
  }
});

test('what is rejected does not count', () => {
  const limiter = new RateLimiter(60, 2);
  assert.equal(acceptedAt(limiter, 'a', 0, 1000), 2);
  assert.equal(acceptedAt(limiter, 'a', 1000, 1000), 1);
});

test('the wait that is told is enough and not too long', () => {
  const limiter = new RateLimiter(60, 2);
  assert.equal(acceptedAt(limiter, 'a', 0, 2), 2);
  assert.equal(limiter.admit('a', 0), 1000);
  assert.equal(limiter.admit('a', 400), 600);
  assert.ok(limiter.admit('a', 999.9) > 0);
  assert.equal(limiter.admit('a', 1000), 0);
});

test('senders do not share', () => {
  const limiter = new RateLimiter(60, 1);
  assert.equal(limiter.admit('a', 0), 0);
  assert.equal(limiter.admit('b', 0), 0);
  assert.ok(limiter.admit('a', 0) > 0);
  assert.equal(limiter.admit('', 0), 0);
  // No property of an object.
  assert.equal(limiter.admit('__proto__', 0), 0);
  assert.equal(limiter.admit('constructor', 0), 0);
});

test('a burst of one', () => {
  const limiter = new RateLimiter(60, 1);
  assert.equal(acceptedAt(limiter, 'a', 5, 10), 1);
  assert.equal(limiter.admit('a', 5), 1000);
});

test('a clock that stands still gives the burst and no more', () => {
  const limiter = new RateLimiter(60, 10);
  assert.equal(acceptedAt(limiter, 'a', 123.456, 100_000), 10);
});

test('a clock that goes backwards gives nothing away and blocks nobody for longer than it went', () => {
  const limiter = new RateLimiter(60, 10);
  assert.equal(acceptedAt(limiter, 'a', 100_000, 50), 10);
  assert.equal(acceptedAt(limiter, 'a', 95_000, 50), 0);
  assert.equal(limiter.admit('a', 95_000), 6000);
  assert.equal(acceptedAt(limiter, 'b', 95_000, 50), 10, 'others are not concerned');
  assert.equal(acceptedAt(limiter, 'a', 101_000, 50), 1);
});

test('large clocks', () => {
  const limiter = new RateLimiter(60, 10);
  // A hundred years of uptime in milliseconds.
  const now = 3.2e12 + 0.123;
  assert.equal(acceptedAt(limiter, 'a', now, 50), 10);
  assert.equal(acceptedAt(limiter, 'a', now + 1000, 50), 1);
});

test('memory: a sender is forgotten once its burst is full again', () => {
  const limiter = new RateLimiter(60, 10);
  for (let n = 0; n < 10_000; n++) limiter.admit(`sender ${n}`, n / 100);
  assert.ok(limiter.size <= 10_000);
  for (let n = 0; n < 10; n++) limiter.admit('busy', 500);
  limiter.admit('late', 500 + 10_000);
  assert.equal(limiter.size, 1);
});

test('memory: a million senders, one a millisecond, are never held at once', () => {
  const limiter = new RateLimiter(60, 10);
  let most = 0;
  for (let n = 0; n < 1_000_000; n++) {
    limiter.admit(`sender ${n}`, n);
    most = Math.max(most, limiter.size);
  }
  assert.ok(most <= 1001, `${most}`);
});

test('memory: a busy sender that came first does not keep the others for longer than its burst lasts', () => {
  const limiter = new RateLimiter(60, 10);
  for (let now = 0; now < 100_000; now += 10) {
    limiter.admit('busy', now);
    limiter.admit(`sender ${now}`, now);
  }
  assert.ok(limiter.size <= 1102, `${limiter.size}`);
});

test('memory: rejected senders are not remembered', () => {
  const limiter = new RateLimiter(60, 1);
  limiter.admit('a', 0);
  for (let n = 0; n < 1000; n++) limiter.admit('a', 1);
  assert.equal(limiter.size, 1);
});

/** The same algorithm as a leaky bucket (ITU-T I.371, continuous-state form), in whole milliseconds. */
class LeakyBucket {
  #level = 0;
  #last = 0;
  readonly #increment: number;
  readonly #limit: number;

  constructor(perMinute: number, burst: number) {
    this.#increment = minute / perMinute;
    this.#limit = (burst - 1) * this.#increment;
  }

  admit(now: number): boolean {
    const level = Math.max(0, this.#level - (now - this.#last));
    if (level > this.#limit) return false;
    this.#level = level + this.#increment;
    this.#last = now;
    return true;
  }
}

test('the same as a leaky bucket', () => {
  // Rates that divide a minute, so that neither side rounds.
  const rates = fc.constantFrom(1, 2, 3, 5, 10, 12, 30, 60, 100, 600, 60_000);
  const gaps = fc.array(fc.tuple(fc.oneof(fc.constant(0), fc.nat(50), fc.nat(3000), fc.nat(200_000)), fc.nat(2)), {
    maxLength: 200,
  });
  fc.assert(
    fc.property(rates, fc.integer({ min: 1, max: 30 }), gaps, (perMinute, burst, messages) => {
      const limiter = new RateLimiter(perMinute, burst);
      const buckets = [0, 1, 2].map(() => new LeakyBucket(perMinute, burst));
      let now = 0;
      for (const [gap, sender] of messages) {
        now += gap;
        assert.equal(limiter.admit(`${sender}`, now) === 0, buckets[sender]?.admit(now), `at ${now}`);
      }
    }),
    { numRuns: 500 },
  );
});

test('whatever the clock does, a wait is a number of milliseconds that is enough', () => {
  const times = fc.array(fc.double({ min: 0, max: 1e9, noNaN: true }), { minLength: 1, maxLength: 50 });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6000 }),
      fc.integer({ min: 1, max: 100 }),
      times,
      (perMinute, burst, clock) => {
        const limiter = new RateLimiter(perMinute, burst);
        for (const now of clock) {
          const wait = limiter.admit('a', now);
          assert.ok(wait >= 0 && Number.isFinite(wait));
          if (wait > 0) assert.equal(limiter.admit('a', now + wait), 0);
        }
      },
    ),
    { numRuns: 500 },
  );
});
