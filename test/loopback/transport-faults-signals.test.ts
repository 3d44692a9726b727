// The transport mode is told to stop while transactions are in all phases.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { type Answer, type Said, silence } from '../relay/transport-remote.ts';
import { gate, letter, open, World } from '../relay/transport-world.ts';
import { DeadHost } from '../system/dead-host.ts';
import { assertLog } from './binary.ts';
import { Client } from './client.ts';

const domains = ['a.test', 'b.test'];
const goodbye = /^421 4\.3\.2 /;
let world: World;

beforeEach(async () => {
  world = await World.start({ domains });
});
afterEach(async () => {
  world.filter.signal('SIGKILL');
  await world.remote[Symbol.asyncDispose]();
});

async function begun(to: readonly string[]): Promise<Client> {
  const client = await world.lmtp();
  assert.match((await open(client, to)).at(-1) ?? '', /^354 /);
  return client;
}

async function isSentAway(client: Client): Promise<void> {
  assert.match(await client.reply(), goodbye);
  assert.equal(await client.reply(), '');
  client.end();
}

async function endsInOrder(withinMs: number): Promise<number> {
  const began = performance.now();
  assert.equal(await world.filter.ended(withinMs + 2000), 0);
  const took = performance.now() - began;
  assert.ok(took < withinMs, `${Math.round(took)} ms`);
  assertLog(world.filter.log.all);
  return took;
}

test('idle connections get 421 and it ends at once, connections to remotes with QUIT', async () => {
  const client = await begun(['x@a.test']);
  void client.write(letter());
  assert.match(await client.reply(), /^250 /);
  const greeted = await Client.connect(world.world.site.lmtpPort);
  assert.match(await greeted.reply(), /^220 /);
  const mark = world.remote.heard.length;
  world.filter.signal('SIGTERM');
  await Promise.all([client, greeted].map(isSentAway));
  await endsInOrder(2000);
  await world.remote.hears(/^QUIT$/, { mark });
});

test('transactions that have begun go on to their end, at whatever point they are', async () => {
  const { promise, resolve } = gate();
  world.remote.answer = async ({ verb }) => {
    if (verb === 'message') await promise;
    return undefined;
  };
  const atMail = await world.lmtp();
  assert.match(await atMail.ask('MAIL FROM:<x@one.test>'), /^250 /);
  const atData = await begun(['x@a.test', 'y@b.test', 'z@a.test']);
  const message = letter(5000);
  await atData.write(message.subarray(0, 2000));
  const waiting = await begun(['x@a.test', 'y@b.test']);
  void waiting.write(letter());
  await world.remote.hears(/^\(message\)$/, { count: 2 });
  const idle = await world.lmtp();

  world.filter.signal('SIGTERM');
  await isSentAway(idle);
  await assert.rejects(Client.connect(world.world.site.lmtpPort), /ECONNREFUSED/);
  await atData.write(message.subarray(2000));
  assert.match(await atMail.ask('RCPT TO:<x@a.test>'), /^250 /);
  assert.match(await atMail.ask('DATA'), /^354 /);
  void atMail.write(letter());
  resolve(undefined);
  for (const [client, count] of [
    [waiting, 2],
    [atData, 3],
    [atMail, 1],
  ] as const) {
    for (let n = 0; n < count; n++) assert.match(await client.reply(), /^250 2\.0\.0 OK/);
    await isSentAway(client);
  }
  await endsInOrder(3000);
  assert.equal(world.remote.taken.length, 5);
});

test('RSET after the signal ends the transaction and with it the connection', async () => {
  const client = await world.lmtp();
  assert.match(await client.ask('MAIL FROM:<x@one.test>'), /^250 /);
  const idle = await world.lmtp();
  world.filter.signal('SIGTERM');
  await isSentAway(idle);
  assert.match(await client.ask('RSET'), /^250 /);
  await isSentAway(client);
  await endsInOrder(2000);
});

for (const [name, verb] of [
  ['the greeting', 'connect'],
  ['MAIL', 'MAIL'],
  ['the end of the data', 'message'],
] as const) {
  test(`a remote that answers ${name} after the signal still gets the message, and the client the answer`, async () => {
    const { promise, resolve } = gate<Answer>();
    const { promise: reached, resolve: reach } = gate();
    world.remote.answer = (said: Said) => {
      if (said.verb !== verb) return undefined;
      reach(undefined);
      return promise;
    };
    const client = await begun(['x@a.test']);
    void client.write(letter());
    await reached;
    const idle = await world.lmtp();
    world.filter.signal('SIGTERM');
    await isSentAway(idle);
    resolve(undefined);
    assert.match(await client.reply(), /^250 2\.0\.0 OK/);
    await isSentAway(client);
    await endsInOrder(3000);
    assert.equal(world.remote.taken.length, 1);
  });
}

test('a client that is gone after the final dot does not keep it from waiting for the answer', async () => {
  const { promise, resolve } = gate();
  world.remote.answer = async ({ verb }) => {
    if (verb === 'message') await promise;
    return undefined;
  };
  const client = await begun(['x@a.test']);
  void client.write(letter());
  await world.remote.hears(/^\(message\)$/);
  client.reset();
  const idle = await world.lmtp();
  world.filter.signal('SIGTERM');
  await isSentAway(idle);
  resolve(undefined);
  await world.filter.log.find(/sent by SMTP to mx\.a\.test/);
  await endsInOrder(3000);
});

test('silent remotes, clients in mid-transaction and one that does not hang up hold it up for 10 s at most, and nobody hears 250', async () => {
  await using _ = await DeadHost.at('127.0.3.1', world.world.httpsPort);
  world.world.host('dead.test', '127.0.3.1');
  world.world.dns.mx('dns.test', 'silence');
  world.remote.answer = said => {
    if (world.isAt('a.test', said) && said.verb === 'connect') return silence;
    return said.verb === 'message' ? silence : undefined;
  };
  const waiting: Client[] = [];
  for (const address of ['x@dns.test', 'x@dead.test', 'x@a.test', 'x@b.test']) {
    const client = await begun([address]);
    void client.write(letter());
    waiting.push(client);
  }
  await world.remote.hears(/^\(message\)$/);
  const halfway = await begun(['x@b.test']);
  await halfway.write('From: <x@one.test>\r\n');
  const began = await world.lmtp();
  assert.match(await began.ask('MAIL FROM:<x@one.test>'), /^250 /);
  const clinging = await world.lmtp();
  world.filter.signal('SIGTERM');
  assert.match(await clinging.reply(), goodbye);
  const took = await endsInOrder(11_500);
  assert.ok(took > 8000, `${Math.round(took)} ms`);
  for (const client of [...waiting, halfway, began]) assert.doesNotMatch(await client.reply(), /^250/);
  assert.equal(world.remote.taken.length, 0);
});
