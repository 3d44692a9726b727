// Healthy mail beside dead and slow destinations, with Postfix's side simulated over real connections: up to 500 of them, each taking the
// next message of one queue. A refusal at RCPT frees its connection at once; the message would come again after five minutes.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { afterEach, describe, test } from 'node:test';
import { silence } from '../relay/transport-remote.ts';
import { letter, World } from '../relay/transport-world.ts';
import { DeadHost } from '../system/dead-host.ts';
import { Client } from './client.ts';
import { undoAtEnd } from './tidy.ts';

const connections = 500;
const healthyDomains = Array.from({ length: 10 }, (_, n) => `healthy${n}.test`);
const slowDomain = 'tarpit.test';
const deadAddress = '127.0.77.1';
const message = letter(2000);

/** Milliseconds from one message handed to a connection to the next: about what a queue manager needs. */
const pace = 1;
const patience = 12_000;

class Postfix {
  readonly world: World;
  readonly refused: string[] = [];
  readonly #clients = new Set<Client>();
  readonly #handed = new EventEmitter<{ out: [] }>();
  #free = connections;
  #count = 0;
  #over = false;

  private constructor(world: World) {
    this.world = world;
  }

  static async start(): Promise<Postfix> {
    const world = await World.start({ domains: [...healthyDomains, slowDomain] });
    for (const port of [world.world.smtpPort, world.world.httpsPort]) {
      const dead = await DeadHost.at(deadAddress, port);
      undoAtEnd(() => void dead[Symbol.asyncDispose]());
    }
    const slow = world.address(slowDomain);
    world.remote.answer = said => (said.verb === 'connect' && said.address === slow ? silence : undefined);
    return new Postfix(world);
  }

  /** So many messages to domains at an address that never answers. */
  dead(count: number, each: number): string[] {
    return this.#queue('dead', count, each, deadAddress);
  }

  /** To hosts that accept connections and do not greet while the test lasts. */
  tarpits(count: number, each: number): string[] {
    return this.#queue('tarpit', count, each, this.world.address(slowDomain));
  }

  healthy(): string[] {
    return Array.from({ length: 300 }, (_, n) => healthyDomains[n % healthyDomains.length] ?? '');
  }

  #queue(kind: string, count: number, each: number, address: string): string[] {
    for (let n = 0; n < count; n++) this.world.world.host(`${kind}${n}.test`, address);
    return Array.from({ length: count * each }, (_, n) => `${kind}${n % count}.test`);
  }

  /** Milliseconds until the messages to `watched` domains of the queue are all answered. */
  async deliver(queue: readonly string[], isWatched: (domain: string) => boolean): Promise<number> {
    const waiting = queue.toReversed();
    let missing = queue.filter(isWatched).length;
    const began = performance.now();
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const carry = async (domain: string) => {
      this.#free--;
      this.#count++;
      this.#handed.emit('out');
      try {
        const isRefused = await this.#transact(domain);
        if (isWatched(domain)) {
          if (isRefused) this.refused.push(domain);
          if (--missing === 0) resolve(performance.now() - began);
        }
      } catch (error) {
        if (!this.#over) reject(error);
      }
      this.#free++;
    };
    let handed = 0;
    const tooLate = () => reject(new Error(`${missing} messages to go, ${this.#free} connections free`));
    const late = setTimeout(tooLate, patience);
    const timer = setInterval(() => {
      const due = Math.floor((performance.now() - began) / pace);
      for (; this.#free > 0 && handed < due && waiting.length > 0; handed++) void carry(waiting.pop() ?? '');
      // A queue manager that had to wait for a connection does not make up for it.
      handed = Math.max(handed, due - 20);
    }, 1);
    return await promise.finally(() => {
      clearInterval(timer);
      clearTimeout(late);
    });
  }

  /** Resolves when so many messages were given to a connection, or no connection is free. */
  async handedOut(count: number): Promise<void> {
    while (this.#count < count && this.#free > 0) await once(this.#handed, 'out');
  }

  /** Whether it was refused. */
  async #transact(domain: string): Promise<boolean> {
    const client = await Client.connect(this.world.world.site.lmtpPort);
    this.#clients.add(client);
    const lines = ['LHLO postfix.test', 'MAIL FROM:<a@one.test>', `RCPT TO:<b@${domain}>`, 'DATA'];
    await client.reply();
    await client.ask(lines[0] ?? '');
    client.socket.write(`${lines.slice(1).join('\r\n')}\r\n`);
    await client.reply(60_000);
    await client.reply(60_000);
    const data = await client.reply(60_000);
    let isRefused = !data.startsWith('354');
    if (!isRefused) {
      void client.write(message);
      isRefused = !(await client.reply(60_000)).startsWith('250');
    }
    this.#clients.delete(client);
    client.socket.destroy();
    return isRefused;
  }

  async end(): Promise<void> {
    this.#over = true;
    for (const client of this.#clients) client.reset();
    this.world.filter.signal('SIGKILL');
    await this.world.filter.ended();
    await this.world.remote[Symbol.asyncDispose]();
  }
}

function mixed(queue: readonly string[]): string[] {
  let state = 1;
  const keyed = queue.map(domain => {
    state = (state * 48_271) % 2_147_483_647;
    return { domain, key: state };
  });
  return keyed.sort((one, other) => one.key - other.key).map(({ domain }) => domain);
}

const isHealthy = (domain: string) => domain.startsWith('healthy');
let postfix: Postfix;

afterEach(() => postfix.end());

/** A fresh filter each time: what is known of health must not help. */
async function measure(others: (postfix: Postfix) => string[], order: 'behind' | 'mixed') {
  postfix = await Postfix.start();
  const queue = [...others(postfix), ...postfix.healthy()];
  const time = await postfix.deliver(order === 'mixed' ? mixed(queue) : queue, isHealthy);
  return { time, refused: postfix.refused.length, ahead: queue.length - 300 };
}

describe('300 messages to 10 healthy domains', () => {
  for (const [name, others, orders] of [
    ['20 dead domains', (one: Postfix) => one.dead(20, 30), ['behind', 'mixed']],
    ['20 tarpits', (one: Postfix) => one.tarpits(20, 30), ['behind', 'mixed']],
    ['100 dead domains', (one: Postfix) => one.dead(100, 30), ['behind']],
  ] as const) {
    for (const order of orders) {
      test(`${order} ${name} with 30 messages each: at most 1.5 times as long as alone, plus 1 s`, async t => {
        const alone = await measure(() => [], order);
        await postfix.end();
        const beside = await measure(others, order);
        t.diagnostic(`alone ${alone.time.toFixed(0)} ms, ${alone.refused} refused`);
        t.diagnostic(`${order} ${beside.ahead} others ${beside.time.toFixed(0)} ms, ${beside.refused} refused`);
        // To hand out the mail that is ahead takes its time too.
        const handingOut = beside.ahead > 1000 ? beside.ahead * pace : 0;
        assert.ok(beside.time <= 1.5 * alone.time + 1000 + handingOut, `${beside.time} ms, ${alone.time} ms alone`);
        // None on a machine that is idle; on a busy one the first answers of new domains come after more messages than they may have.
        assert.ok(alone.refused <= 30 && beside.refused <= 30, `${alone.refused}, ${beside.refused} refused`);
      });
    }
  }
});

test('a burst of 60 messages to one healthy domain beside 20 dead ones: as many get through as are allowed at once', async t => {
  postfix = await Postfix.start();
  await postfix.deliver(['healthy0.test'], isHealthy);
  const dead = postfix.dead(20, 30);
  const queue = [...dead.slice(0, 300), ...Array<string>(60).fill('healthy0.test'), ...dead.slice(300)];
  const time = await postfix.deliver(queue, isHealthy);
  t.diagnostic(`${time.toFixed(0)} ms, ${postfix.refused.length} refused`);
  assert.ok(postfix.refused.length <= 30, `${postfix.refused.length} refused`);
  assert.ok(time < 3000, `${time} ms`);
});
