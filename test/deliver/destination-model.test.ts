// Random interleavings of transactions, turns, deaths, life, departures and time, against a model that keeps whatever happened.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as settled } from 'node:timers/promises';
import fc from 'fast-check';
import type { Turn, TurnResult } from '../../src/deliver/destination.ts';
import { Destinations } from '../../src/deliver/destinations.ts';
import { describeReply, type Reply } from '../../src/wire/reply.ts';

type Step =
  | { do: 'rcpt'; transaction: number; domain: string }
  | { do: 'ask'; pick: number }
  | { do: 'leave'; pick: number }
  | { do: 'alive'; pick: number }
  | { do: 'end'; transaction: number }
  | { do: 'finish'; pick: number; result: TurnResult }
  | { do: 'pass'; time: number };

const never = Number.NEGATIVE_INFINITY;
const transactions = 24;
const pick = fc.nat(1000);
const transaction = fc.nat(transactions - 1);
// Few enough to be dead, full and forgotten often.
const domain = fc.constantFrom('a.example', 'a.example', 'a.example', 'b.example', 'c.example');
const result = fc.constantFrom<TurnResult>('answered', 'cancelled', { dead: 'why' });
const time = fc.constantFrom(1, 500, 5000, 5000, 10_000, 60_000, 120_000);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ do: fc.constant('rcpt'), transaction, domain }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('ask'), pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('leave' as const, 'alive' as const), pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('end'), transaction }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('finish'), pick, result }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass'), time }) },
);

/** One delivery from RCPT on: where it is in the model, and what it was given. */
class Delivery {
  state: 'placed' | 'waiting' | 'running' | 'over' = 'placed';
  holdsPlace = true;
  inTransaction = true;
  probe: boolean;
  asked = 0;
  began = 0;
  /** How many events its destination had seen when its turn began. */
  eventsBefore = 0;
  due: 'turn' | 'busy' | 'closed' | null = null;
  got: Turn | Reply | null = null;
  readonly gone = new AbortController();
  readonly transaction: number;
  readonly domain: string;

  constructor(transaction: number, domain: string, probe: boolean) {
    this.transaction = transaction;
    this.domain = domain;
    this.probe = probe;
  }

  get turn(): Turn {
    assert.ok(this.got !== null && !('code' in this.got));
    return this.got;
  }

  over(due: 'busy' | 'closed' | null): void {
    this.state = 'over';
    this.due = due ?? this.due;
    this.probe = false;
  }
}

/** What a destination went through, from its first place until it is forgotten. */
class Past {
  readonly events: ('closed' | 'life')[] = [];
  nextTry = never;
  lastFast = never;
  quietSince: number;

  constructor(now: number) {
    this.quietSince = now;
  }

  get closed(): boolean {
    return this.events.at(-1) === 'closed';
  }

  close(now: number): void {
    this.events.push('closed');
    const times = this.events.length - 1 - this.events.lastIndexOf('life');
    this.nextTry = now + Math.min(300_000, 5000 * 2 ** (times - 1));
  }
}

class Model {
  #now = 0;
  readonly #connections: number;
  readonly #destinations: Destinations;
  readonly #places;
  readonly #pasts = new Map<string, Past>();
  #deliveries: Delivery[] = [];
  /** In the order in which they asked. */
  #queue: Delivery[] = [];

  constructor(connections: number) {
    this.#connections = connections;
    this.#destinations = new Destinations({ connections, clock: () => this.#now, random: () => 0 });
    this.#places = Array.from({ length: transactions }, () => this.#destinations.begin());
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const each of steps) {
      this.#do(each);
      await this.#check();
    }
    for (let n = 0; n < transactions; n++) this.#end(n);
    await this.#check();
    for (const delivery of this.#all('running')) this.#finish(delivery, 'cancelled');
    await this.#check();
    assert.equal(this.#destinations.inProgress, 0);
    this.#pass(300_000);
    this.#pass(60_000);
    assert.equal(this.#destinations.size, 0);
  }

  get #inProgress(): number {
    return new Set(this.#deliveries.filter(each => each.inTransaction).map(each => each.transaction)).size;
  }

  #do(each: Step): void {
    if (each.do === 'rcpt') this.#rcpt(each.transaction, each.domain);
    else if (each.do === 'ask') this.#one('placed', each.pick, delivery => this.#ask(delivery));
    else if (each.do === 'leave') this.#one('waiting', each.pick, delivery => this.#leave(delivery));
    else if (each.do === 'alive') this.#one('running', each.pick, delivery => this.#answer(delivery));
    else if (each.do === 'finish') this.#one('running', each.pick, delivery => this.#finish(delivery, each.result));
    else if (each.do === 'end') this.#end(each.transaction);
    else this.#pass(each.time);
  }

  #rcpt(transaction: number, domain: string): void {
    this.#forget();
    const said = this.#places[transaction]?.take(domain) ?? null;
    const atDomain = this.#deliveries.filter(each => each.domain === domain);
    const held = atDomain.filter(({ holdsPlace }) => holdsPlace).length;
    const share = Math.min(30, Math.max(4, Math.ceil((this.#connections - this.#inProgress) / 8)));
    const allowed = () => (this.#now - this.#past(domain).lastFast < 60_000 ? 30 : share);
    if (atDomain.some(each => each.inTransaction && each.transaction === transaction)) assert.equal(said, null);
    else if (this.#isClosed(domain)) assertReply(said, 'closed');
    else if (held >= allowed()) assertReply(said, 'busy');
    else {
      assert.equal(said, null);
      this.#deliveries.push(new Delivery(transaction, domain, this.#past(domain).closed));
    }
  }

  #ask(delivery: Delivery): void {
    const answer = this.#places[delivery.transaction]?.turn(delivery.domain, delivery.gone.signal);
    answer?.then(got => (delivery.got = got));
    if (!delivery.probe && this.#isClosed(delivery.domain)) {
      delivery.over('closed');
      return;
    }
    delivery.probe = this.#past(delivery.domain).closed;
    delivery.state = 'waiting';
    delivery.asked = this.#now;
    this.#queue.push(delivery);
    this.#giveTurns(delivery.domain);
  }

  #giveTurns(domain: string): void {
    this.#queue = this.#queue.filter(({ state }) => state === 'waiting');
    for (const next of this.#queue.filter(each => each.domain === domain)) {
      if (this.#all('running', domain).length === 4) return;
      next.state = 'running';
      next.due = 'turn';
      next.began = this.#now;
      next.eventsBefore = this.#past(domain).events.length;
    }
  }

  #finish(delivery: Delivery, result: TurnResult): void {
    const { domain, turn, began, eventsBefore } = delivery;
    turn.end(result);
    delivery.over(null);
    delivery.holdsPlace = false;
    const past = this.#past(domain);
    past.quietSince = this.#now;
    const slow = this.#now - began >= 10_000;
    if (result === 'answered') past.lastFast = slow ? never : this.#now;
    else if (result !== 'cancelled' || slow) past.lastFast = never;
    if (result === 'answered') this.#live(domain);
    else if (result !== 'cancelled' && past.events.length === eventsBefore) {
      past.close(this.#now);
      for (const waiter of this.#all('waiting', domain)) waiter.over('closed');
    }
    this.#giveTurns(domain);
  }

  #leave(delivery: Delivery): void {
    delivery.gone.abort();
    if (delivery.state === 'waiting') delivery.over('busy');
  }

  #answer({ turn, domain }: Delivery): void {
    turn.alive();
    this.#live(domain);
  }

  #live(domain: string): void {
    this.#past(domain).events.push('life');
    for (const each of this.#deliveries) if (each.domain === domain) each.probe = false;
  }

  /** The client is gone or has its replies: no delivery goes on waiting. */
  #end(transaction: number): void {
    for (const each of this.#deliveries) {
      if (each.transaction !== transaction || !each.inTransaction) continue;
      this.#leave(each);
      each.inTransaction = false;
      if (each.holdsPlace) this.#past(each.domain).quietSince = this.#now;
      each.holdsPlace = false;
      if (each.state === 'placed') each.over(null);
    }
    this.#places[transaction]?.end();
  }

  #pass(time: number): void {
    this.#now += time;
    this.#destinations.sweep();
    for (const each of this.#all('waiting')) if (this.#now - each.asked >= 120_000) each.over('busy');
    this.#forget();
    assert.equal(this.#destinations.size, this.#pasts.size);
  }

  #forget(): void {
    for (const [domain, { quietSince, nextTry, closed }] of this.#pasts) {
      const since = Math.max(quietSince, closed ? nextTry : never);
      const inUse = this.#deliveries.some(
        each => each.domain === domain && (each.holdsPlace || each.state === 'running'),
      );
      if (!inUse && this.#now - since >= 60_000) this.#pasts.delete(domain);
    }
  }

  #past(domain: string): Past {
    return this.#pasts.getOrInsertComputed(domain, () => new Past(this.#now));
  }

  #isClosed(domain: string): boolean {
    const { closed, nextTry } = this.#pasts.get(domain) ?? { closed: false, nextTry: never };
    return closed && (this.#now < nextTry || this.#probes(domain) === 1);
  }

  #probes(domain: string): number {
    return this.#deliveries.filter(each => each.domain === domain && each.probe).length;
  }

  #all(state: Delivery['state'], domain?: string): Delivery[] {
    return this.#deliveries.filter(each => each.state === state && (domain === undefined || each.domain === domain));
  }

  #one(state: Delivery['state'], pick: number, act: (delivery: Delivery) => void): void {
    const among = this.#all(state);
    const one = among[pick % among.length];
    if (one !== undefined) act(one);
  }

  /** Everybody has been given what is due, and nobody more. */
  async #check(): Promise<void> {
    await settled();
    for (const { due, got } of this.#deliveries) {
      if (due === 'busy' || due === 'closed') assertReply(got, due);
      else assert.equal(got !== null, due === 'turn');
    }
    for (const domain of this.#pasts.keys()) {
      assert.ok(this.#all('running', domain).length <= 4);
      assert.ok(this.#probes(domain) <= 1);
    }
    this.#deliveries = this.#deliveries.filter(({ state, inTransaction }) => state !== 'over' || inTransaction);
    assert.equal(this.#destinations.inProgress, this.#inProgress);
  }
}

function assertReply(said: Turn | Reply | null, what: 'busy' | 'closed'): void {
  assert.ok(said !== null && 'code' in said, `${what} was due`);
  const pattern = what === 'busy' ? /^451 4\.3\.2 Transport busy$/ : /^451 4\.4\.1 why \(next try in [1-9]\d* s\)$/;
  assert.match(describeReply(said), pattern);
}

test('whatever happens in whatever order is what the model says', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(1, 40, 200),
      fc.array(step, { maxLength: 250, size: 'max' }),
      (connections, steps) => new Model(connections).run(steps),
    ),
    { numRuns: 300 },
  );
});
