// Healthy mail beside dead and slow destinations, with Postfix's side in virtual time: so many connections, each taking the next message of
// one queue; a refusal at RCPT frees its connection at once, and the message comes again after 300 s.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as settled } from 'node:timers/promises';
import type { Turn } from '../../src/deliver/destination.ts';
import { Destinations } from '../../src/deliver/destinations.ts';
import type { Reply } from '../../src/wire/reply.ts';

const connections = 500;
/** Postfix's minimal_backoff_time. */
const retryTime = 300_000;

type Kind = 'healthy' | 'dead' | 'tarpit';
type Message = { kind: Kind; domain: string; handedOut: number; doneAt: number; refusals: number };

/** Milliseconds until the first answer, if there is any, and from there to the end. */
const hosts: Record<Kind, { silent: number; answers: boolean; busy: number }> = {
  healthy: { silent: 10, answers: true, busy: 40 },
  dead: { silent: 40_000, answers: false, busy: 0 },
  tarpit: { silent: 25_000, answers: true, busy: 50 },
};

/** Events at their times, those of one time in the order in which they were planned. */
class Timeline {
  now = 0;
  /** The latest first. */
  readonly #events: { at: number; happen: () => void }[] = [];

  after(time: number, happen: () => void): void {
    const at = this.now + time;
    const index = this.#events.findLastIndex(event => event.at > at);
    this.#events.splice(index + 1, 0, { at, happen });
  }

  sleep(time: number): Promise<void> {
    return new Promise(resolve => this.after(time, resolve));
  }

  async runUntil(done: () => boolean): Promise<void> {
    while (!done()) {
      const next = this.#events.pop();
      assert.ok(next);
      this.now = next.at;
      next.happen();
      await settled();
    }
  }
}

class Postfix {
  readonly time = new Timeline();
  readonly destinations = new Destinations({ connections, clock: () => this.time.now, random: () => 0.5 });
  #free = connections;
  readonly #queue: Message[] = [];
  readonly #pace: number;
  #handingOut = false;

  /** `pace`: milliseconds from one message handed to a connection to the next. */
  constructor(pace: number) {
    this.#pace = pace;
    const sweep = () => {
      this.destinations.sweep();
      this.time.after(1000, sweep);
    };
    sweep();
  }

  add(...messages: readonly Message[]): void {
    this.#queue.push(...messages);
    this.#handOut();
  }

  #handOut(): void {
    if (this.#handingOut || this.#free === 0) return;
    const message = this.#queue.shift();
    if (message === undefined) return;
    this.#free--;
    this.#handingOut = true;
    void this.#transact(message);
    this.time.after(this.#pace, () => {
      this.#handingOut = false;
      this.#handOut();
    });
  }

  async #transact(message: Message): Promise<void> {
    message.handedOut = this.time.now;
    const places = this.destinations.begin();
    const result = places.take(message.domain) ?? (await places.turn(message.domain, new AbortController().signal));
    if ('code' in result) this.#putOff(message, result);
    else await this.#deliver(message, result);
    places.end();
    this.#free++;
    this.#handOut();
  }

  async #deliver(message: Message, turn: Turn): Promise<void> {
    const { silent, answers, busy } = hosts[message.kind];
    await this.time.sleep(silent);
    if (!answers) {
      turn.end({ dead: 'connection timed out' });
      return;
    }
    turn.alive();
    await this.time.sleep(busy);
    turn.end('answered');
    message.doneAt = this.time.now;
  }

  #putOff(message: Message, answer: Reply): void {
    assert.equal(answer.code, 451);
    message.refusals++;
    this.time.after(retryTime, () => this.add(message));
  }
}

function messages(kind: Kind, domains: number, each: number): Message[] {
  const one = (n: number): Message => ({
    ...{ kind, domain: `${kind}${n % domains}.example`, handedOut: 0, doneAt: Number.POSITIVE_INFINITY, refusals: 0 },
  });
  return Array.from({ length: domains * each }, (_, n) => one(n));
}

/** In an order that looks random and is the same each time. */
function mixed(queue: readonly Message[]): Message[] {
  let state = 1;
  const keyed = queue.map(message => {
    state = (state * 48_271) % 2_147_483_647;
    return { message, key: state };
  });
  return keyed.sort((one, other) => one.key - other.key).map(({ message }) => message);
}

/** When 300 messages to 10 healthy domains are done that are in the queue with `others`, and how often they were refused. */
async function healthyMail(pace: number, others: readonly Message[], order: 'behind' | 'mixed') {
  const postfix = new Postfix(pace);
  const healthy = messages('healthy', 10, 30);
  const queue = [...others, ...healthy];
  postfix.add(...(order === 'mixed' ? mixed(queue) : queue));
  await postfix.time.runUntil(() => healthy.every(({ doneAt }) => doneAt < Number.POSITIVE_INFINITY));
  const refusals = healthy.reduce((sum, message) => sum + message.refusals, 0);
  return { time: Math.max(...healthy.map(({ doneAt }) => doneAt)), refusals };
}

// A message a millisecond is what Postfix and the fastest peer reached. Behind 3000 messages for dead domains the pace itself would take
// longer than the limit allows.
const cases: [name: string, pace: number, others: () => Message[], orders: ('behind' | 'mixed')[]][] = [
  ['20 dead domains', 1, () => messages('dead', 20, 30), ['behind', 'mixed']],
  ['20 tarpits', 1, () => messages('tarpit', 20, 30), ['behind', 'mixed']],
  ['100 dead domains', 0.25, () => messages('dead', 100, 30), ['behind']],
];

for (const [name, pace, others, orders] of cases) {
  for (const order of orders) {
    test(`300 messages to 10 healthy domains, ${order} ${name}: 1.5 times as long as alone plus 1 s`, async () => {
      const alone = await healthyMail(pace, [], order);
      const beside = await healthyMail(pace, others(), order);
      assert.ok(beside.time <= 1.5 * alone.time + 1000, `${beside.time} ms, ${alone.time} alone`);
      assert.deepEqual([alone.refusals, beside.refusals], [0, 0]);
    });
  }
}

test('a burst of 60 messages to one healthy domain beside dead ones: refused only while 30 are in progress', async () => {
  for (const [pace, refused] of [
    [1, 26],
    [10, 0],
  ] as const) {
    const postfix = new Postfix(pace);
    const { time } = postfix;
    const [first, ...burst] = messages('healthy', 1, 61);
    assert.ok(first);
    postfix.add(first, ...messages('dead', 20, 30));
    await time.runUntil(() => time.now >= 3000);
    postfix.add(...burst);
    await time.runUntil(() => burst.every(({ doneAt, refusals }) => doneAt < Number.POSITIVE_INFINITY || refusals > 0));
    for (const { handedOut, refusals } of burst) {
      const inProgress = burst.filter(
        other => other.refusals === 0 && other.handedOut < handedOut && other.doneAt > handedOut,
      );
      assert.equal(refusals > 0, inProgress.length >= 30, `handed out at ${handedOut}`);
    }
    assert.equal(burst.filter(({ refusals }) => refusals > 0).length, refused);
  }
});

test('ten minutes of mail to healthy domains, new and known, beside dead ones that come again and again: nothing waits', async () => {
  const postfix = new Postfix(1);
  const { time } = postfix;
  postfix.add(...messages('dead', 20, 30));
  const sent: Message[] = [];
  const arrivedAt = new Map<Message, number>();
  const arrive = () => {
    const [message] = messages('healthy', 1, 1);
    assert.ok(message);
    message.domain = `healthy${Math.floor(sent.length ** 2 / 7) % 40}.example`;
    sent.push(message);
    arrivedAt.set(message, time.now);
    postfix.add(message);
    time.after(200, arrive);
  };
  time.after(1000, arrive);
  await time.runUntil(() => time.now >= 600_000);
  const settledBy = sent.filter(message => (arrivedAt.get(message) ?? 0) < time.now - 2000);
  const slowest = Math.max(...settledBy.map(message => message.doneAt - (arrivedAt.get(message) ?? 0)));
  assert.ok(settledBy.length > 2900 && slowest <= 1000, `${slowest} ms`);
});
