// What takes too long at the HTTP entrance: limits of minutes are asserted and then shortened.

import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { setTimeout as passes } from 'node:timers/promises';
import { eventually } from '../loopback/eventually.ts';
import {
  type Answer,
  chunk,
  chunkedHead,
  counted,
  countedHead,
  type HttpClient,
  head,
  short,
} from '../loopback/http-client.ts';
import { Gate, HttpEntrance, maxMessageSize, ok } from './http-entrance.ts';

const idle = 60_000;
const linger = 10_000;
const shortened = new Map([
  [idle, 300],
  [linger, 300],
]);

let entrance: HttpEntrance;
let clients: HttpClient[];
/** The idle timeouts of the server's sockets in their order. */
let timeouts: number[];
/** Timers that are to end the reading of a body whose answer is out. */
let lingering: Set<NodeJS.Timeout>;

beforeEach(() => {
  clients = [];
  timeouts = [];
  const setSocketTimeout = Socket.prototype.setTimeout;
  mock.method(Socket.prototype, 'setTimeout', function (this: Socket, after: number, happens?: () => void) {
    timeouts.push(after);
    return setSocketTimeout.call(this, shortened.get(after) ?? after, happens);
  });
  lingering = new Set();
  const { setTimeout, clearTimeout } = globalThis;
  mock.method(globalThis, 'setTimeout', (happens: () => void, after: number) => {
    const over = () => {
      lingering.delete(timer);
      happens();
    };
    const timer = setTimeout(over, shortened.get(after) ?? after);
    if (after === linger) lingering.add(timer);
    return timer;
  });
  mock.method(globalThis, 'clearTimeout', (timer: NodeJS.Timeout) => {
    lingering.delete(timer);
    clearTimeout(timer);
  });
});
afterEach(async () => {
  mock.restoreAll();
  for (const client of clients) client.reset();
  await entrance.stop(0);
  await entrance.holdsNothing();
});

async function connect(): Promise<HttpClient> {
  const client = await entrance.connect();
  clients.push(client);
  return client;
}

const message = short();
const taken = [200, '250 2.0.0 Ok'] as const;

describe('a header that does not end', () => {
  test('the limits that node:http is given', async () => {
    entrance = await HttpEntrance.start();
    const { headersTimeout, requestTimeout, keepAliveTimeout = 0, connectionsCheckingInterval = 0 } = entrance.limits;
    assert.equal(headersTimeout, 60_000);
    assert.ok(requestTimeout === 0 || Number(requestTimeout) >= 600_000, '30 MB take a while on a slow line');
    assert.ok(keepAliveTimeout > 60_000, 'nginx keeps its connections for 60 s');
    assert.ok(connectionsCheckingInterval <= 10_000);
  });

  for (const [name, octets] of [
    ['nothing at all', ''],
    ['a part of the first line', 'POST /mxd'],
    ['a line that does not end', `POST / HTTP/1.1\r\nX: ${'y'.repeat(1000)}`],
    ['no blank line', head().toString('latin1').slice(0, -2)],
  ] as const) {
    test(`${name}: cut, also when more trickles in`, async () => {
      entrance = await HttpEntrance.start({ headersTimeout: 300, connectionsCheckingInterval: 50 });
      const [still, trickling] = [await connect(), await connect()];
      for (const client of [still, trickling]) await client.write(octets);
      const began = performance.now();
      let isOver = false;
      void trickling.over.then(() => (isOver = true));
      while (!isOver && performance.now() - began < 3000) {
        await trickling.write('x');
        await passes(20);
      }
      assert.ok(isOver, 'cut');
      await still.over;
      assert.deepEqual(entrance.judged, []);
    });
  }

  test('a bad request whose client stays: the connection is given up', async () => {
    entrance = await HttpEntrance.start({
      headersTimeout: 300,
      connectionsCheckingInterval: 50,
      keepAliveTimeout: 100,
    });
    const [first, second] = [await connect(), await connect()];
    assert.equal((await first.ask('rubbish\r\n\r\n'))?.[0], 400);
    assert.deepEqual(await second.ask(counted(message)), taken);
    assert.equal((await second.ask('rubbish\r\n\r\n'))?.[0], 400);
    await entrance.isAlone();
  });
});

describe('a body without an octet for 60 s', () => {
  for (const [name, request] of [
    ['none of it', countedHead(message.length)],
    ['a part of it', Buffer.concat([countedHead(message.length), message.subarray(0, 9)])],
    ['all but the end of the last chunk', Buffer.concat([chunkedHead(), chunk(message), Buffer.from('0\r\n')])],
    ['none after 100', countedHead(message.length, { lines: ['Expect: 100-continue'] })],
  ] as const) {
    test(`${name}: cut, and nothing is delivered`, async () => {
      entrance = await HttpEntrance.start();
      const client = await connect();
      await client.write(request);
      await eventually(() => assert.ok(timeouts.includes(idle)));
      await client.over;
      assert.deepEqual(entrance.judged, []);
      await entrance.holdsNothing();
    });
  }

  test('the same on a connection that has brought a message', async () => {
    entrance = await HttpEntrance.start();
    const client = await connect();
    assert.deepEqual(await client.ask(counted(message)), taken);
    await client.write(countedHead(message.length));
    await client.over;
    assert.equal(entrance.judged.length, 1);
  });

  test('one that comes slowly is taken', async () => {
    entrance = await HttpEntrance.start();
    const client = await connect();
    await client.write(countedHead(message.length));
    const slow = message.subarray(0, 16);
    for (const octet of slow) {
      await client.write(Buffer.from([octet]));
      await passes(40);
    }
    assert.deepEqual(await client.ask(message.subarray(16)), taken);
  });

  test('while the message is judged nothing is cut', async () => {
    entrance = await HttpEntrance.start();
    const gate = new Gate();
    entrance.judge = () => gate.reply;
    const client = await connect();
    void client.write(counted(message));
    await entrance.hasJudged(1);
    await passes(600);
    gate.open();
    assert.deepEqual(await client.outcome(), taken);
  });

  test('nor while the first of two pipelined messages is judged and the second comes to its end', async () => {
    entrance = await HttpEntrance.start();
    const gate = new Gate();
    entrance.judge = ({ octets }) => (octets.includes('first') ? gate.reply : ok);
    const client = await connect();
    void client.write(Buffer.concat([counted(short('first')), counted(short('second'))]));
    await entrance.hasJudged(2);
    await passes(600);
    gate.open();
    assert.deepEqual(await client.outcome(), taken);
    assert.deepEqual(await client.outcome(), taken);
  });
});

describe('a body that goes on after its refusal', () => {
  /** Sends until the connection is over. */
  async function sendOn(client: HttpClient, octets: Buffer, every = 20): Promise<void> {
    let isOver = false;
    void client.over.then(() => (isOver = true));
    const began = performance.now();
    while (!isOver) {
      assert.ok(performance.now() - began < 5000, 'cut');
      await client.write(octets);
      await passes(every);
    }
  }

  for (const [name, first, part, status] of [
    ['chunks without end', chunkedHead(), chunk(Buffer.from(`${'z'.repeat(98)}\r\n`)), 413],
    ['one far over the limit', countedHead(1e12), Buffer.from('z'), 413],
    ['another method', chunkedHead({ method: 'PUT' }), chunk(Buffer.from('z')), 405],
    ['no recipient', chunkedHead({ to: [] }), chunk(Buffer.from('z')), 400],
  ] as const) {
    test(`${name}: is read for 10 s at most`, async () => {
      entrance = await HttpEntrance.start();
      const client = await connect();
      await client.write(first);
      if (name === 'chunks without end') await client.write(Buffer.concat(Array<Buffer>(11_000).fill(part)));
      const answer: Answer | null = await client.answer();
      assert.equal(answer?.status, status);
      await sendOn(client, part);
      assert.deepEqual(entrance.judged, []);
    });
  }

  for (const [name, request] of [
    ['Expect: 100-continue', countedHead(9, { to: [], lines: ['Expect: 100-continue'] })],
    ['Connection: close', countedHead(9, { to: [], lines: ['Connection: close'] })],
    ['an open connection', countedHead(9, { to: [] })],
    ['GET', head({ method: 'GET' })],
  ] as const) {
    test(`when the client has gone nothing waits any more: ${name}`, async () => {
      entrance = await HttpEntrance.start();
      const client = await connect();
      await client.ask(request);
      client.reset();
      await entrance.isAlone();
      assert.equal(lingering.size, 0, 'timers');
    });
  }

  test('one that ends in time costs the connection nothing, also later', async () => {
    entrance = await HttpEntrance.start();
    const gate = new Gate();
    entrance.judge = () => gate.reply;
    const client = await connect();
    assert.equal((await client.ask(countedHead(maxMessageSize + 1)))?.[0], 413);
    await client.write(Buffer.alloc(maxMessageSize + 1, 'z\r\n'));
    assert.equal((await client.ask(head({ method: 'GET' })))?.[0], 405);
    void client.write(counted(message));
    await entrance.hasJudged(1);
    await passes(600);
    gate.open();
    assert.deepEqual(await client.outcome(), taken);
  });
});

test('a message has 50 s from its last octet', async () => {
  entrance = await HttpEntrance.start();
  const client = await connect();
  await client.write(countedHead(message.length));
  await passes(50);
  const before = performance.now();
  assert.deepEqual(await client.ask(message), taken);
  const deadline = entrance.judged[0]?.transaction.deadline ?? 0;
  assert.ok(deadline >= before + 50_000 && deadline <= performance.now() + 50_000);
});
