// Being told to stop: who waits is sent away at once, who is in a transaction gets the answer first, and it never takes long.

import assert from 'node:assert/strict';
import { before, beforeEach, describe, test } from 'node:test';
import { Binary } from './binary.ts';
import { Client } from './client.ts';
import { bob, encrypted } from './mail.ts';
import { NextHop } from './next-hop.ts';
import { Site } from './site.ts';

let hop: NextHop;
let site: Site;
let filter: Binary;

before(async () => {
  hop = await NextHop.start();
});
beforeEach(async () => {
  hop.answer = () => undefined;
  site = await Site.make(hop.port);
  filter = await Binary.serve(site);
});

const goodbye = /^421 4\.3\.2 /;

/** A message that the next hop has, whole, and does not answer before it is told to. */
async function inFlight(): Promise<{ client: Client; reply: Promise<string>; take: () => void }> {
  let take = (): unknown => undefined;
  hop.answer = ({ verb, socket }) => {
    if (verb !== 'message') return undefined;
    take = () => socket.write('250 2.0.0 Ok: queued as 42\r\n');
    return null;
  };
  const mark = hop.heard.length;
  const client = await Client.hello(site.port);
  const reply = client.send(encrypted());
  await hop.hears(/^\(message\)$/, mark);
  return { client, reply, take: () => take() };
}

async function refusesConnections(): Promise<void> {
  await assert.rejects(Client.connect(site.port), /ECONNREFUSED/);
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  describe(signal, () => {
    test('sends idle clients away at once and ends', async () => {
      const silent = await Client.connect(site.port);
      const greeted = await Client.hello(site.port);
      await silent.reply();
      const began = performance.now();
      filter.signal(signal);
      for (const client of [silent, greeted]) {
        assert.match(await client.reply(), goodbye);
        assert.equal(await client.reply(), '');
        client.end();
      }
      assert.equal(await filter.ended(), 0);
      assert.ok(performance.now() - began < 3000, 'at once');
    });

    test('lets transactions end and answers them', async () => {
      const { client, reply, take } = await inFlight();
      const half = await Client.hello(site.port);
      assert.match(await half.open({ from: 'half@one.test', to: [bob] }), /^354 /);
      const mail = encrypted({ from: 'half@one.test' });
      await half.write(mail.wire.subarray(0, 700));
      const idle = await Client.hello(site.port);

      filter.signal(signal);
      assert.match(await idle.reply(), goodbye);
      idle.end();
      await refusesConnections();
      take();
      assert.match(await reply, /^250 /);
      hop.answer = () => undefined;
      await half.write(mail.wire.subarray(700));
      assert.match(await half.reply(), /^250 /);
      for (const each of [client, half]) {
        assert.match(await each.reply(), goodbye);
        assert.equal(await each.reply(), '');
        each.end();
      }
      assert.equal(await filter.ended(), 0);
      assert.equal(hop.take().length, 1, 'the message that was half in');
    });
  });
}

for (const [first, second] of [
  ['SIGTERM', 'SIGTERM'],
  ['SIGINT', 'SIGTERM'],
] as const) {
  test(`${second} after ${first} does not take the answer from a transaction`, async () => {
    const { client, reply, take } = await inFlight();
    const idle = await Client.hello(site.port);
    filter.signal(first);
    assert.match(await idle.reply(), goodbye);
    idle.end();
    filter.signal(second);
    // Nothing tells that a signal was taken: that it is still there some time later must do.
    await assert.rejects(filter.ended(500), /still running/);
    take();
    assert.match(await reply, /^250 /);
    client.end();
    assert.equal(await filter.ended(), 0);
  });
}

test('a client in mid-transaction, one that does not hang up and a silent next hop hold it up for 10 s at most', async () => {
  const { reply } = await inFlight();
  const stuck = await Client.hello(site.port);
  assert.match(await stuck.open({ from: 'stuck@one.test', to: [bob] }), /^354 /);
  const clinging = await Client.hello(site.port);
  const began = performance.now();
  filter.signal('SIGTERM');
  assert.match(await clinging.reply(), goodbye);
  assert.equal(await filter.ended(), 0);
  const took = performance.now() - began;
  assert.ok(took > 8000 && took < 12_500, `${Math.round(took)} ms`);
  assert.doesNotMatch(await reply, /^250/, 'nobody may believe that it was delivered');
});

test('hundreds of idle clients that never answer are sent away, and it ends', async () => {
  const clients = await Promise.all(Array.from({ length: 300 }, () => Client.hello(site.port)));
  filter.signal('SIGTERM');
  for (const client of clients) {
    assert.match(await client.reply(), goodbye);
    client.end();
  }
  assert.equal(await filter.ended(5000), 0);
});

test('an idle connection to the next hop is ended', async () => {
  const client = await Client.hello(site.port);
  assert.match(await client.send(encrypted()), /^250 /);
  await client.quit();
  const mark = hop.heard.length;
  filter.signal('SIGTERM');
  assert.equal(await filter.ended(3000), 0);
  await hop.hears(/^\(closed\)$/, mark);
});
