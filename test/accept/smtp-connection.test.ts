// Connections in this process, with a mode and a log that do as they are told: what the real binary shows only after minutes or never.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { after, afterEach, beforeEach, describe, mock, test } from 'node:test';
import type { Listener } from '../../src/accept/listener.ts';
import { SmtpConnection, type SmtpServerOptions } from '../../src/accept/smtp-connection.ts';
import { listenSmtp } from '../../src/accept/smtp-server.ts';
import type { Transaction } from '../../src/accept/transaction.ts';
import { SpoolStore } from '../../src/system/spool.ts';
import { type Reply, reply } from '../../src/wire/reply.ts';
import { Client } from '../loopback/client.ts';
import { eventually } from '../loopback/eventually.ts';
import { alice, bob, encrypted } from '../loopback/mail.ts';
import { recordedLog } from '../system/recorded-log.ts';

const directory = mkdtempSync(join(tmpdir(), 'filtermail-accept-'));
after(() => rmSync(directory, { recursive: true }));

const ok = reply(250, '0.0', 'Ok');
let judge: (transaction: Transaction) => Promise<Reply>;
let sender: () => Reply | null;
let store: SpoolStore;
let options: SmtpServerOptions;
let listener: Listener;
let logged: string[];
/** The idle timeouts that were set: milliseconds, and what happens then. */
let timeouts: { after: number; happens: () => void }[];

beforeEach(async () => {
  judge = () => Promise.resolve(ok);
  sender = () => null;
  store = new SpoolStore(directory);
  logged = [];
  timeouts = [];
  mock.method(Socket.prototype, 'setTimeout', function (this: Socket, after: number, happens?: () => void) {
    if (happens !== undefined) timeouts.push({ after, happens });
    return this;
  });
  options = {
    protocol: 'SMTP',
    name: 'one.test',
    maxMessageSize: 10_000_000,
    label: 'Outgoing',
    reception: {
      sender: () => sender(),
      recipient: () => null,
      digests: () => [],
      unusable: () => undefined,
      message: transaction => judge(transaction),
    },
    store,
    log: recordedLog(line => void logged.push(line)),
    clock: () => performance.now(),
  };
  listener = await listenSmtp('127.0.0.1', 0, options);
});
afterEach(async () => {
  mock.restoreAll();
  await listener.stop(0);
  assert.equal(store.held, 0, 'memory of messages');
});

const serious = () => logged.filter(text => text.startsWith('ERROR '));

describe('idle', () => {
  test('between commands: 421 after 320 s, then the end', async () => {
    const client = await Client.hello(listener.port);
    const [timeout] = timeouts;
    assert.equal(timeout?.after, 320_000);
    timeout?.happens();
    assert.match(await client.reply(), /^421 4\.4\.2 /);
    assert.equal(await client.reply(), '');
    client.end();
    await client.closed;
  });

  test('in DATA: the end, and the message is dropped', async () => {
    const client = await Client.hello(listener.port);
    await client.open({ from: alice, to: [bob] });
    await client.write(encrypted({ size: 500_000 }).wire.subarray(0, 400_000));
    await eventually(() => assert.ok(store.held > 300_000));
    timeouts[0]?.happens();
    assert.equal(await client.reply(), '');
    client.end();
    await client.closed;
    await eventually(() => assert.equal(store.held, 0));
    assert.deepEqual(logged, []);
  });
});

test('a client that half-closes and reads nothing is let go after 10 s', async () => {
  // What is written to it never arrives, so the connection cannot end by itself.
  let timeout = { after: 0, happens: () => undefined as unknown };
  const deaf = Object.assign(new Duplex({ read: () => undefined, write: () => undefined }), {
    setTimeout: (after: number, happens = timeout.happens) => (timeout = { after, happens }),
  });
  new SmtpConnection(deaf as unknown as Socket, options);
  deaf.push(null);
  await once(deaf, 'end');
  assert.equal(timeout.after, 10_000);
  timeout.happens();
  assert.ok(deaf.destroyed);
});

test('a message has 90 s from its last octet', async () => {
  let ends = 0;
  judge = ({ deadline }) => {
    ends = deadline;
    return Promise.resolve(ok);
  };
  const client = await Client.hello(listener.port);
  const before = performance.now();
  assert.match(await client.send(encrypted()), /^250 /);
  assert.ok(ends >= before + 90_000 && ends <= performance.now() + 90_000);
  await client.quit();
});

describe('an unexpected exception ends one connection with 451, and is logged', () => {
  const fault = new Error('nobody\nexpected this');

  test('in judging a message', async () => {
    judge = () => Promise.reject(fault);
    const [client, other] = [await Client.hello(listener.port), await Client.hello(listener.port)];
    assert.match(await client.send(encrypted()), /^451 4\.3\.0 /);
    assert.equal(await client.reply(), '');
    client.end();
    await client.closed;
    assert.equal(serious().length, 1);
    assert.match(serious()[0] ?? '', /nobody\\x0aexpected this/);
    judge = () => Promise.resolve(ok);
    assert.match(await other.send(encrypted()), /^250 /, 'the others live on');
    await other.quit();
  });

  for (const stage of ['sender', 'store'] as const) {
    test(`in asking for a decision (${stage})`, async () => {
      const fails = () => {
        throw fault;
      };
      if (stage === 'sender') sender = fails;
      else mock.method(store, 'open', fails);
      const client = await Client.hello(listener.port);
      assert.match(await client.open({ from: alice, to: [bob] }), /^451 4\.3\.0 /);
      assert.equal(await client.reply(), '');
      client.end();
      await client.closed;
      assert.equal(serious().length, 1);
    });
  }

  test('when the client has gone already', async () => {
    let fail = (): void => undefined;
    judge = () => new Promise((_, reject) => (fail = () => reject(fault)));
    const client = await Client.hello(listener.port);
    const reply = client.send(encrypted());
    const begun = fail;
    await eventually(() => assert.notEqual(fail, begun));
    client.reset();
    await client.closed;
    assert.equal(await reply, '');
    fail();
    await eventually(() => assert.equal(store.held, 0));
    assert.equal(serious().length, 1);
  });
});

describe('a client that goes while its message is judged', () => {
  for (const way of ['end', 'reset'] as const) {
    test(`${way}: the mode hears of it, and what was pipelined behind comes to nothing`, async () => {
      const seen: Transaction[] = [];
      let answer = (_: Reply): void => undefined;
      judge = transaction => {
        seen.push(transaction);
        return new Promise(resolve => (answer = resolve));
      };
      const client = await Client.hello(listener.port);
      const next = `MAIL FROM:<${alice}>\r\nRCPT TO:<${bob}>\r\nDATA\r\nSubject: x\r\n\r\n${'y'.repeat(20_000)}\r\n`;
      await client.open({ from: alice, to: [bob] });
      await client.write(encrypted().wire.toString('latin1') + next);
      await eventually(() => assert.equal(seen.length, 1));
      client[way]();
      await eventually(() => assert.equal(seen[0]?.gone.aborted, true));
      if (way === 'end')
        await eventually(() => assert.equal(client.socket.destroyed || client.socket.readableEnded, true));
      answer(ok);
      await eventually(() => assert.equal(store.held, 0));
      client.socket.destroy();
      await client.closed;
      assert.equal(seen.length, 1);
    });
  }
});

describe('a client that sends on while its message is judged', () => {
  test('is not read without bound, and gets its answers in order', async () => {
    const answers: ((reply: Reply) => void)[] = [];
    judge = () => new Promise(resolve => answers.push(resolve));
    const client = await Client.hello(listener.port);
    await client.open({ from: alice, to: [bob] });
    const { wire } = encrypted();
    const more = 'NOOP\r\n'.repeat(3_000_000);
    void client.write(wire);
    await eventually(() => assert.equal(answers.length, 1));
    void client.write(more);
    let left = -1;
    await eventually(() => {
      const now = client.socket.writableLength;
      const same = now === left;
      left = now;
      assert.ok(same && now > 0, 'it is not read any more');
    });
    answers[0]?.(reply(250, '0.0', 'the message'));
    assert.equal(await client.reply(), '250 2.0.0 the message');
    for (let count = 0; count < 1000; count++) assert.equal(await client.reply(), '250 2.0.0 Ok');
    client.reset();
    await client.closed;
  });
});

test('stop sends the idle away and gives the others time', async () => {
  let answer = (_: Reply): void => undefined;
  judge = () => new Promise(resolve => (answer = resolve));
  const [idle, busy] = [await Client.hello(listener.port), await Client.hello(listener.port)];
  const replied = busy.send(encrypted());
  await eventually(() => assert.notEqual(store.held, 0));
  const stopped = listener.stop(5000);
  assert.match(await idle.reply(), /^421 /);
  idle.end();
  await eventually(() => answer(ok), 0);
  assert.match(await replied, /^250 /);
  assert.match(await busy.reply(), /^421 /);
  busy.end();
  await stopped;
});
