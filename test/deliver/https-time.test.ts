// How long each step may take, in time that only the test moves.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { HttpsResult } from '../../src/deliver/https-carrier.ts';
import { Authority } from '../peers/authority.ts';
import { accepted, HttpsSender, HttpsServer, type Script } from '../peers/https-server.ts';
import { DeadHost } from '../system/dead-host.ts';

const authority = new Authority();
const ca = readFileSync(authority.path, 'latin1');
const certificate = authority.issue(['mx.two.test']);
after(() => authority[Symbol.dispose]());

const second = 1000;
const large = `${'0123456789'.repeat(2_000_000)}\r\n`;

class Timer {
  due: number;
  readonly #time: Time;
  readonly #after: number;
  readonly run: () => void;

  constructor(time: Time, run: () => void, after: number) {
    this.#time = time;
    this.#after = after;
    this.run = run;
    this.due = time.now + after;
  }

  refresh(): this {
    this.due = this.#time.now + this.#after;
    return this;
  }
}

/** Instead of node:test's timers, which do not know `refresh`. */
class Time {
  now = 0;
  readonly clock = () => this.now;
  readonly #timers = new Set<Timer>();

  constructor({ mock }: TestContext) {
    const begin = (run: () => void, after = 0) => {
      const timer = new Timer(this, run, after);
      this.#timers.add(timer);
      return timer;
    };
    mock.method(globalThis, 'setTimeout', begin as unknown as typeof setTimeout);
    mock.method(globalThis, 'clearTimeout', (timer: unknown) => this.#timers.delete(timer as Timer));
  }

  get timers(): number {
    return this.#timers.size;
  }

  pass(milliseconds: number): void {
    this.now += milliseconds;
    const due = [...this.#timers].filter(timer => timer.due <= this.now).sort((one, other) => one.due - other.due);
    for (const timer of due) if (this.#timers.delete(timer)) timer.run();
  }
}

/** What a delivery came to, null while it is under way. */
async function stateOf(delivery: Promise<HttpsResult>): Promise<HttpsResult | null> {
  let state: HttpsResult | null = null;
  void delivery.then(result => (state = result));
  for (let turns = 0; turns < 20; turns++) await turn();
  return state;
}

test('a host that does not answer the SYN: 10 s', { timeout: 10_000 }, async t => {
  await using server = await HttpsServer.listen(certificate);
  await using _dead = await DeadHost.at('127.0.0.8', server.port);
  const time = new Time(t);
  using sender = new HttpsSender(server.port, ca, time.clock);
  const delivery = sender.deliver({ host: { addresses: ['127.0.0.8'] } });
  assert.equal(await stateOf(delivery), null);
  time.pass(9.999 * second);
  assert.equal(await stateOf(delivery), null);
  time.pass(1);
  const result = await delivery;
  assert.ok(!result.delivered && result.useless && !result.alive);
  assert.deepEqual([result.phase, result.address], ['connect', '127.0.0.8']);
});

test('a host that does not answer in TLS: 10 s with the dialling', { timeout: 10_000 }, async t => {
  await using server = await HttpsServer.listen(certificate, { script: { connection: peer => peer.hold() } });
  const time = new Time(t);
  using sender = new HttpsSender(server.port, ca, time.clock);
  const delivery = sender.deliver();
  await server.until(() => server.peers[0]?.greeted === true);
  time.pass(9.999 * second);
  assert.equal(await stateOf(delivery), null);
  time.pass(1);
  const result = await delivery;
  assert.ok(!result.delivered && result.useless && !result.alive);
  assert.deepEqual([result.phase, result.address], ['TLS', '127.0.0.1']);
  server.peers[0]?.resume();
  await server.until(() => server.open === 0);
});

test('when one address is no good in TLS the others are tried', { timeout: 10_000 }, async () => {
  const addresses = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];
  let refused = 0;
  const script: Script = { connection: peer => (refused++ < 2 ? peer.reset() : peer.secure()) };
  await using server = await HttpsServer.listen(certificate, { host: '0.0.0.0', script });
  using sender = new HttpsSender(server.port, ca);
  const { delivered } = await sender.deliver({ host: { addresses } });
  assert.equal(delivered, true);
});

test('eight addresses that do not answer in TLS: no connection outlives the result', { timeout: 20_000 }, async t => {
  const addresses = Array.from({ length: 8 }, (_, n) => `127.0.0.${n + 1}`);
  await using server = await HttpsServer.listen(certificate, {
    host: '0.0.0.0',
    script: { connection: peer => peer.hold() },
  });
  const time = new Time(t);
  using sender = new HttpsSender(server.port, ca, time.clock);
  const delivery = sender.deliver({ host: { addresses } });
  let result: HttpsResult | null = null;
  while ((result = await stateOf(delivery)) === null) {
    await server.until(() => server.peers.some(({ greeted, isOpen }) => greeted && isOpen));
    time.pass(10 * second);
    assert.ok(time.now <= 80 * second);
  }
  assert.equal(result.delivered, false);
  for (const peer of server.peers) peer.resume();
  for (let turns = 0; turns < 50; turns++) await turn();
  assert.equal(server.open, 0, `after ${time.now / second} s`);
});

for (const [size, wire] of [
  ['small', 'x\r\n'],
  ['large', large],
] as const) {
  test(`a message that is not answered: 60 s after its last octet, ${size}`, { timeout: 10_000 }, async t => {
    await using server = await HttpsServer.listen(certificate, { script: { request: () => undefined } });
    const time = new Time(t);
    using sender = new HttpsSender(server.port, ca, time.clock);
    const delivery = sender.deliver({ wire });
    await server.until(() => server.complete.length === 1);
    assert.equal(await stateOf(delivery), null);
    time.pass(59.999 * second);
    assert.equal(await stateOf(delivery), null);
    time.pass(1);
    const result = await delivery;
    assert.ok(!result.delivered && result.useless && !result.alive);
    assert.match(result.cause, /no answer within 60 s/);
    await server.until(() => server.open === 0);
  });
}

test('a body that does not get on: 60 s', { timeout: 10_000 }, async t => {
  await using server = await HttpsServer.listen(certificate, { script: { head: peer => peer.pause() } });
  const time = new Time(t);
  using sender = new HttpsSender(server.port, ca, time.clock);
  const delivery = sender.deliver({ wire: large });
  await server.until(() => server.requests.length === 1);
  assert.equal(await stateOf(delivery), null);
  time.pass(60 * second);
  const result = await delivery;
  assert.ok(!result.delivered && result.useless);
  server.peers[0]?.resume();
  await server.until(() => server.open === 0);
  assert.equal(server.complete.length, 0);
});

test('a body that gets on slowly may take longer', { timeout: 10_000 }, async t => {
  await using server = await HttpsServer.listen(certificate, { script: { head: peer => peer.pause() } });
  const time = new Time(t);
  using sender = new HttpsSender(server.port, ca, time.clock);
  const delivery = sender.deliver({ wire: large });
  await server.until(() => server.requests.length === 1);
  const [peer] = server.peers;
  const [request] = server.requests;
  assert.ok(peer && request);
  server.script = { body: peer => (request.complete ? undefined : peer.pause()) };
  let seen = 0;
  while (!request.complete) {
    const state = await stateOf(delivery);
    assert.ok(state === null || state.delivered, `lost after ${time.now / second} s`);
    if (request.received > seen + 4_000_000) {
      time.pass(50 * second);
      seen = request.received;
    }
    peer.resume();
    await server.until(() => request.received > seen || request.complete);
  }
  assert.ok(time.now > 120 * second);
  assert.equal((await delivery).delivered, true);
});

const trickles: [name: string, first: string, each: string][] = [
  ['1xx without end', '', 'HTTP/1.1 100 Continue\r\n\r\n'],
  ['the head octet by octet', 'HTTP/1.1 200 OK\r\nX: ', 'x'],
  ['the body octet by octet', 'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n', ' '],
];

for (const [name, first, each] of trickles) {
  test(`an answer that never ends: ${name}, 60 s in all`, { timeout: 10_000 }, async t => {
    await using server = await HttpsServer.listen(certificate, { script: { request: peer => peer.write(first) } });
    const time = new Time(t);
    using sender = new HttpsSender(server.port, ca, time.clock);
    const delivery = sender.deliver();
    await server.until(() => server.complete.length === 1);
    assert.equal(await stateOf(delivery), null);
    for (let seconds = 0; seconds < 50; seconds += 10) {
      time.pass(10 * second);
      server.peers[0]?.write(each);
      assert.equal(await stateOf(delivery), null);
    }
    time.pass(10 * second);
    const result = await delivery;
    assert.ok(!result.delivered && result.useless);
    await server.until(() => server.open === 0);
  });
}

test('the time for the answer begins when the connection stands', { timeout: 10_000 }, async t => {
  await using server = await HttpsServer.listen(certificate, {
    script: { connection: peer => peer.hold(), request: () => undefined },
  });
  const time = new Time(t);
  using sender = new HttpsSender(server.port, ca, time.clock);
  const delivery = sender.deliver();
  await server.until(() => server.peers[0]?.greeted === true);
  time.pass(9 * second);
  server.peers[0]?.secure();
  await server.until(() => server.complete.length === 1);
  await stateOf(delivery);
  time.pass(59 * second);
  assert.equal(await stateOf(delivery), null);
  server.peers[0]?.write(accepted);
  assert.equal((await delivery).delivered, true);
});
