// Connections to the next hop that are kept for the next message: used again, replaced when stale, never too many.

import assert from 'node:assert/strict';
import { afterEach, before, test } from 'node:test';
import { sendOne } from './client.ts';
import { eventually } from './eventually.ts';
import { encrypted } from './mail.ts';
import type { Said } from './next-hop.ts';
import { Victim } from './victim.ts';

let victim: Victim;

before(async () => {
  victim = await Victim.start();
});
afterEach(() => {
  victim.hop.answer = () => undefined;
  victim.hop.take();
});

test('one serves the next message', async () => {
  const { hop } = victim;
  for (const socket of hop.sockets) socket.destroy();
  await victim.passes();
  const { connections } = hop;
  for (let count = 0; count < 5; count++) await victim.passes();
  assert.equal(hop.connections, connections);
});

test('500 messages over one connection from the client take one to the next hop, and a line each', async () => {
  const { hop, filter } = victim;
  const mark = await victim.logged();
  const { connections } = hop;
  const client = await victim.hello();
  for (let count = 0; count < 500; count++) assert.match(await client.send(encrypted()), /^250 /);
  await client.quit();
  assert.ok(hop.connections <= connections + 1);
  await victim.logged();
  assert.deepEqual(
    filter.log.since(mark).slice(0, -1),
    Array<string>(500).fill('INFO Outgoing: Filtering encrypted mail.'),
  );
});

for (const [name, answer] of [
  ['says 421', '421 4.4.2 Idle'],
  ['hangs up', null],
] as const) {
  test(`one that ${name} when it is used again is replaced, and nobody notices`, async () => {
    const { hop, filter } = victim;
    await victim.passes();
    const mark = await victim.logged();
    const stale = new Set(hop.sockets);
    hop.answer = ({ verb, socket }) => {
      if (verb !== 'MAIL' || !stale.has(socket)) return undefined;
      setImmediate(() => socket.end());
      return answer;
    };
    await victim.passes();
    await filter.log.find(/Filtering/, mark);
    assert.deepEqual(filter.log.since(mark), ['INFO Outgoing: Filtering encrypted mail.']);
  });
}

test('one that speaks out of turn is not used again, and does not fill memory', async () => {
  const { hop, filter } = victim;
  const start = filter.memory('VmRSS');
  await victim.passes();
  const [idle] = hop.sockets;
  assert.ok(idle);
  // As much as it takes, until the filter hangs up or 200 MB have gone.
  const flood = Buffer.from('250 2.0.0 Ok\r\n'.repeat(5000));
  for (let sent = 0; sent < 200_000_000 && !idle.destroyed; sent += flood.length) {
    await new Promise(resolve => idle.write(flood, resolve));
  }
  const used = filter.memory('VmRSS') - start;
  assert.ok(used < 80, `${Math.round(used)} MiB`);
  await victim.passes();
  await eventually(() => assert.ok(idle.destroyed));
});

test('at most 90 at a time: more messages wait their turn', async () => {
  const { hop, site } = victim;
  for (const socket of hop.sockets) socket.destroy();
  let most = 0;
  const held: Said[] = [];
  hop.answer = said => {
    most = Math.max(most, hop.sockets.size);
    if (said.verb !== 'message') return undefined;
    held.push(said);
    return null;
  };
  const replies = Array.from({ length: 150 }, () => sendOne(site.port, encrypted()));
  await eventually(() => assert.equal(held.length, 90));
  hop.answer = () => {
    most = Math.max(most, hop.sockets.size);
    return undefined;
  };
  for (const { socket } of held) socket.write('250 2.0.0 Ok\r\n');
  for (const reply of await Promise.all(replies)) assert.match(reply, /^250 /);
  assert.equal(most, 90);
});

test('after all of it, the process is as good as new', () => victim.unharmed(250));
