// All on loopback: other addresses of 127.0.0.0/8 refuse, a multicast address is unreachable without a packet being sent.

import assert from 'node:assert/strict';
import { getEventListeners, once } from 'node:events';
import { readdirSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { type Dialled, dialFirst } from '../../src/system/dial.ts';
import { DeadHost } from './dead-host.ts';

const live = ['127.0.0.1', '127.0.0.2', '::1'];
const refusing = ['127.0.0.3', '127.0.0.4'];
const dead = '127.0.0.5';
const unreachable = ['ff02::1', '224.0.0.1'];

/** A server for each live address, with the connections that are open there. */
const servers = new Map<string, { server: Server; open: Set<Socket>; accepted: number }>();
let port = 0;
let deadHost: DeadHost;

before(async () => {
  for (const address of live) {
    const one = { server: createServer(), open: new Set<Socket>(), accepted: 0 };
    one.server.on('connection', socket => {
      one.accepted++;
      one.open.add(socket);
      socket.on('close', () => one.open.delete(socket)).on('error', () => null);
      socket.resume();
    });
    one.server.listen(port, address);
    await once(one.server, 'listening');
    port = (one.server.address() as AddressInfo).port;
    servers.set(address, one);
  }
  deadHost = await DeadHost.at(dead, port);
});

after(async () => {
  for (const { server } of servers.values()) server.close();
  await deadHost[Symbol.asyncDispose]();
});

const never = () => new AbortController().signal;

async function dialled(addresses: readonly string[], timeout = 5000): Promise<Dialled> {
  const result = await dialFirst(addresses, port, { timeout, signal: never() });
  assert.ok(result !== null && 'socket' in result, JSON.stringify(result));
  return result;
}

async function failures(addresses: readonly string[], timeout = 5000): Promise<string[]> {
  const result = await dialFirst(addresses, port, { timeout, signal: never() });
  assert.ok(result !== null && !('socket' in result));
  return result.failed.map(({ address, cause }) => `${address}: ${cause}`).sort();
}

async function ended(socket: Socket): Promise<void> {
  socket.destroy();
  if (!socket.closed) await once(socket, 'close');
}

const turn = () => new Promise(resolve => setImmediate(resolve));

function openConnections(): number {
  return [...servers.values()].reduce((sum, { open }) => sum + open.size, 0);
}

function resources(): string {
  const inUse = process.getActiveResourcesInfo().filter(name => /TCP|Timeout/.test(name));
  return [...inUse.sort(), `${readdirSync('/proc/self/fd').length} descriptors`].join();
}

/** What is closed needs some turns of the event loop; what leaks needs the test's whole time. */
async function settled(expected: string): Promise<void> {
  while (resources() !== expected || openConnections() > 0) await turn();
}

/** The resources with nothing under way. */
async function idleResources(): Promise<string> {
  for (let quiet = 0; quiet < 10; quiet = openConnections() === 0 ? quiet + 1 : 0) await turn();
  return resources();
}

test('one address', async () => {
  for (const address of live) {
    const result = await dialled([address]);
    assert.deepEqual([result.address, result.failed, result.untried], [address, [], []]);
    assert.equal(result.socket.remoteAddress, address);
    await ended(result.socket);
  }
});

test('dead, refusing and unreachable addresses before the good one cost nothing', async () => {
  for (const addresses of [
    [dead, '::1'],
    [...unreachable, dead, '127.0.0.2'],
    [dead, ...refusing, ...unreachable, '127.0.0.1'],
  ]) {
    const start = performance.now();
    const { socket, address, untried } = await dialled(addresses);
    assert.ok(performance.now() - start < 200);
    assert.equal(address, addresses.at(-1));
    assert.ok(untried.includes(dead));
    await ended(socket);
  }
});

test('without a winner each address has its cause', async () => {
  assert.deepEqual(await failures([...refusing, ...unreachable, dead], 300), [
    '127.0.0.3: connection refused (ECONNREFUSED)',
    '127.0.0.4: connection refused (ECONNREFUSED)',
    '127.0.0.5: no answer within 0.3 s',
    '224.0.0.1: network is unreachable (ENETUNREACH)',
    'ff02::1: network is unreachable (ENETUNREACH)',
  ]);
});

test('when all have failed nobody waits for the timeout', async () => {
  const start = performance.now();
  assert.equal((await failures([...refusing, ...unreachable], 10_000)).length, 4);
  assert.ok(performance.now() - start < 200);
  assert.deepEqual(await failures([]), []);
});

test('a connection that turns out to be no good: the others are next, without those that have failed', async () => {
  let rest: readonly string[] = [...refusing, ...live];
  const won: string[] = [];
  const failed: string[] = [];
  while (rest.length > 0) {
    const result = await dialFirst(rest, port, { timeout: 5000, signal: never() });
    assert.ok(result !== null);
    for (const { address } of result.failed) failed.push(address);
    rest = 'untried' in result ? result.untried : [];
    if (!('socket' in result)) break;
    won.push(result.address);
    await ended(result.socket);
  }
  assert.deepEqual(won.sort(), live.toSorted());
  assert.deepEqual(failed.sort(), refusing);
});

test('the losers are closed, those too that the other side has accepted', async () => {
  const idle = await idleResources();
  for (const one of servers.values()) one.accepted = 0;
  for (let round = 0; round < 20; round++) {
    const { socket, address } = await dialled(live);
    while (openConnections() > 1 || servers.get(address)?.open.size !== 1) await turn();
    assert.ok(socket.writable);
    await ended(socket);
  }
  await settled(idle);
  // Or the test would show nothing.
  assert.ok([...servers.values()].every(({ accepted }) => accepted > 0));
});

test('aborted before, meanwhile and afterwards', async () => {
  const idle = await idleResources();
  assert.equal(await dialFirst(live, port, { timeout: 5000, signal: AbortSignal.abort() }), null);
  assert.equal(await dialFirst([], port, { timeout: 5000, signal: AbortSignal.abort() }), null);
  const gone = new AbortController();
  const dialling = dialFirst([dead, ...refusing], port, { timeout: 5000, signal: gone.signal });
  setTimeout(() => gone.abort(), 50);
  assert.equal(await dialling, null);
  const later = new AbortController();
  const result = await dialFirst(live, port, { timeout: 50, signal: later.signal });
  assert.ok(result !== null && 'socket' in result);
  later.abort();
  await new Promise(resolve => setTimeout(resolve, 100));
  assert.ok(result.socket.writable, 'neither the signal nor the timeout concern a socket that was handed over');
  await ended(result.socket);
  await settled(idle);
});

test('an error of a socket that nobody listens to yet is not thrown', async () => {
  const { socket } = await dialled(['127.0.0.1']);
  socket.destroy(new Error('lost'));
  await new Promise(resolve => socket.once('close', resolve));
});

test('fifty races under one signal leave no listener, timer or descriptor', async t => {
  const warnings: Error[] = [];
  const warned = (warning: Error) => warnings.push(warning);
  process.on('warning', warned);
  t.after(() => process.off('warning', warned));
  const idle = await idleResources();
  const { signal } = new AbortController();
  const races = Array.from({ length: 50 }, (_, n) => {
    const addresses = n % 2 === 0 ? [...live, dead, ...refusing] : [dead, ...unreachable];
    return dialFirst(addresses, port, { timeout: 200, signal });
  });
  for (const result of await Promise.all(races)) {
    assert.ok(result !== null);
    if ('socket' in result) await ended(result.socket);
    else assert.equal(result.failed.length, 3);
  }
  assert.deepEqual(getEventListeners(signal, 'abort'), []);
  await settled(idle);
  assert.deepEqual(warnings, []);
});

test('whatever the addresses and whenever it ends: every address has one outcome, and nothing is left', async () => {
  const idle = await idleResources();
  const address = fc.constantFrom(...live, ...refusing, ...unreachable, dead);
  const property = fc.asyncProperty(
    fc.uniqueArray(address, { maxLength: 8 }),
    fc.integer({ min: 0, max: 20 }),
    fc.option(fc.integer({ min: 0, max: 20 })),
    async (addresses, timeout, abortAfter) => {
      const gone = new AbortController();
      const timer = abortAfter === null ? null : setTimeout(() => gone.abort(), abortAfter);
      const result = await dialFirst(addresses, port, { timeout, signal: gone.signal });
      if (timer !== null) clearTimeout(timer);
      assert.deepEqual(getEventListeners(gone.signal, 'abort'), []);
      if (result === null) return assert.ok(gone.signal.aborted);
      const all = result.failed.map(failure => failure.address);
      if ('socket' in result) {
        assert.ok(live.includes(result.address));
        assert.equal(result.socket.remoteAddress, result.address);
        all.push(result.address, ...result.untried);
        result.socket.destroy();
      }
      assert.deepEqual(all.sort(), addresses.toSorted());
    },
  );
  await fc.assert(property, { numRuns: 300 });
  await settled(idle);
});
