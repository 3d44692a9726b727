// Clients of the HTTP entrance that go away, exceptions in the mode, the end of the server: nothing is left behind, nobody else notices.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { eventually } from '../loopback/eventually.ts';
import { chunk, chunkedHead, counted, countedHead, type HttpClient, head, short } from '../loopback/http-client.ts';
import { Gate, HttpEntrance, maxMessageSize, ok } from './http-entrance.ts';

let entrance: HttpEntrance;
let clients: HttpClient[];

beforeEach(async () => {
  clients = [];
  entrance = await HttpEntrance.start();
});
afterEach(async () => {
  mock.restoreAll();
  for (const client of clients) client.reset();
  await entrance.isAlone();
  await entrance.holdsNothing();
  await entrance.stop(0);
});

async function connect(): Promise<HttpClient> {
  const client = await entrance.connect();
  clients.push(client);
  return client;
}

const message = short();
const taken = [200, '250 2.0.0 Ok'] as const;
const long = short('y'.repeat(500_000));

const ways = {
  reset: (client: HttpClient) => client.reset(),
  close: (client: HttpClient) => void client.socket.destroy(),
  'half-close': (client: HttpClient) => client.end(),
};

for (const [way, leave] of Object.entries(ways)) {
  describe(`a client that goes away (${way})`, () => {
    const phases: [name: string, octets: Buffer, held: number][] = [
      ['in the header', head().subarray(0, 40), 0],
      ['behind the header', countedHead(message.length), 0],
      ['in the body', counted(long).subarray(0, 400_000), 300_000],
      ['before the last octet', counted(message).subarray(0, -1), 1],
      ['in a chunk', Buffer.concat([chunkedHead(), chunk(message).subarray(0, -9)]), 1],
      ['before the last chunk', Buffer.concat([chunkedHead(), chunk(message)]), 1],
      ['in the last chunk', Buffer.concat([chunkedHead(), chunk(message), Buffer.from('0\r\n')]), 1],
      ['in the trailers', Buffer.concat([chunkedHead(), chunk(message), Buffer.from('0\r\nX: y\r\n')]), 1],
      ['in the second body', Buffer.concat([counted(message), counted(long).subarray(0, 400_000)]), 300_000],
    ];
    for (const [phase, octets, held] of phases) {
      test(`${phase}: nothing is delivered`, async () => {
        const client = await connect();
        await client.write(octets);
        await eventually(() => assert.ok(entrance.store.held >= held));
        leave(client);
        await entrance.isAlone();
        await entrance.holdsNothing();
        assert.equal(entrance.judged.length, phase === 'in the second body' ? 1 : 0);
        assert.deepEqual(entrance.errors(), []);
      });
    }

    test('while its message is judged: the mode hears of it', async () => {
      const gate = new Gate();
      entrance.judge = () => gate.reply;
      const client = await connect();
      await client.write(counted(message));
      await entrance.hasJudged(1);
      leave(client);
      await eventually(() => assert.ok(entrance.judged[0]?.transaction.gone.aborted));
      gate.open();
      await entrance.isAlone();
    });

    test('while the first of its messages is judged and the next is on its way: both are given up', async () => {
      const gate = new Gate();
      entrance.judge = () => gate.reply;
      const client = await connect();
      await client.write(Buffer.concat([counted(message), counted(long).subarray(0, 400_000)]));
      await entrance.hasJudged(1);
      await eventually(() => assert.ok(entrance.store.held > 300_000));
      leave(client);
      await eventually(() => assert.ok(entrance.judged[0]?.transaction.gone.aborted));
      await eventually(() => assert.ok(entrance.store.held < 1000, `${entrance.store.held} held`), 2000);
      gate.open();
    });

    test('while two of its messages are judged: the mode hears of it for both', async () => {
      const gate = new Gate();
      entrance.judge = () => gate.reply;
      const client = await connect();
      await client.write(Buffer.concat([counted(message), counted(message)]));
      await entrance.hasJudged(2);
      leave(client);
      for (const { transaction } of entrance.judged) await eventually(() => assert.ok(transaction.gone.aborted), 2000);
      gate.open();
    });
  });
}

test('what cannot be a request, behind one that is judged: the mode hears of it', async () => {
  const gate = new Gate();
  entrance.judge = () => gate.reply;
  const client = await connect();
  await client.write(counted(message));
  await entrance.hasJudged(1);
  assert.equal((await client.ask('rubbish\r\n\r\n'))?.[0], 400);
  await eventually(() => assert.ok(entrance.judged[0]?.transaction.gone.aborted));
  gate.open();
});

describe('an unexpected exception: 451, a line in the log, and life goes on', () => {
  const fault = new Error('nobody\nexpected this');
  const fails = () => {
    throw fault;
  };
  const internal = [400, '451 4.3.0 Internal error'] as const;

  const stages: [name: string, breaks: () => void, request: Buffer][] = [
    ['in judging (rejected)', () => (entrance.judge = () => Promise.reject(fault)), counted(message)],
    ['in judging (thrown)', () => (entrance.judge = fails), counted(message)],
    ['about the sender', () => (entrance.sender = fails), counted(message)],
    ['about a recipient', () => (entrance.recipient = fails), counted(message)],
    ['about digests', () => (entrance.digests = fails), counted(message)],
    ['about digests, early in a long body', () => (entrance.digests = fails), counted(long)],
    ['in refusing', () => (entrance.unusable = fails), counted(Buffer.from('a\nb\r\n'))],
    ['in refusing what is too large', () => (entrance.unusable = fails), counted(Buffer.alloc(maxMessageSize + 1))],
    ['in opening a spool', () => mock.method(entrance.store, 'open', fails), counted(message)],
  ];
  for (const [name, breaks, request] of stages) {
    test(name, async () => {
      const other = await connect();
      assert.deepEqual(await other.ask(counted(message)), taken);
      breaks();
      const client = await connect();
      assert.deepEqual(await client.ask(request), internal);
      assert.equal(entrance.errors().length, 1);
      assert.match(entrance.errors()[0] ?? '', /nobody\\x0aexpected this/);
      mock.restoreAll();
      const { sender, recipient, digests, unusable } = new HttpEntrance();
      Object.assign(entrance, { judge: () => ok, sender, recipient, digests, unusable });
      assert.deepEqual(await other.ask(counted(message)), taken, 'the others live on');
      const another = await connect();
      assert.deepEqual(await another.ask(counted(message)), taken);
    });
  }

  test('when the client has gone already', async () => {
    const { promise, reject } = Promise.withResolvers<typeof ok>();
    entrance.judge = () => promise;
    const client = await connect();
    await client.write(counted(message));
    await entrance.hasJudged(1);
    client.reset();
    await entrance.isAlone();
    reject(fault);
    await entrance.holdsNothing();
    assert.equal(entrance.errors().length, 1);
  });
});

describe('stop', () => {
  test('who has nothing under way is let go at once, whatever was before', async () => {
    const [fresh, kept, refused] = [await connect(), await connect(), await connect()];
    assert.deepEqual(await kept.ask(counted(message)), taken);
    assert.equal((await refused.ask(counted(message, { to: [] })))?.[0], 400);
    const began = performance.now();
    const stopped = entrance.stop(5000);
    for (const client of [fresh, kept, refused]) await client.over;
    await stopped;
    assert.ok(performance.now() - began < 2000, 'at once');
  });

  test('a message under way is taken, its answer says that this was the last', async () => {
    const gate = new Gate();
    entrance.judge = () => gate.reply;
    const [judged, halfway] = [await connect(), await connect()];
    await judged.write(counted(message));
    await halfway.write(counted(message).subarray(0, -9));
    await entrance.hasJudged(1);
    await eventually(() => assert.ok(entrance.store.held > message.length));
    const stopped = entrance.stop(5000);
    await halfway.write(message.subarray(-9));
    await entrance.hasJudged(2);
    gate.open();
    for (const client of [judged, halfway]) {
      const answer = await client.answer();
      assert.deepEqual([answer?.status, answer?.body, answer?.headers.get('connection')], [...taken, 'close']);
      await client.over;
    }
    await stopped;
  });

  test('the pipelined ones too', async () => {
    const gate = new Gate();
    entrance.judge = () => gate.reply;
    const client = await connect();
    await client.write(Buffer.concat([counted(message), counted(message)]));
    await entrance.hasJudged(2);
    const stopped = entrance.stop(5000);
    gate.open();
    assert.deepEqual(await client.outcome(), taken);
    assert.deepEqual(await client.outcome(), taken, 'what was delivered is acknowledged');
    await stopped;
  });

  test('what does not end is cut when the grace is over', async () => {
    const client = await connect();
    await client.write(counted(long).subarray(0, 400_000));
    await eventually(() => assert.ok(entrance.store.held > 300_000));
    const began = performance.now();
    await entrance.stop(300);
    assert.ok(performance.now() - began >= 290);
    await client.over;
    assert.equal(entrance.judged.length, 0);
  });
});
