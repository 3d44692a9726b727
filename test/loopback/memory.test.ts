// What many clients at once, or one that takes its time, cost in memory. Each test has a process of its own.

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { descriptorLimit } from '../../src/system/descriptors.ts';
import { Client } from './client.ts';
import { eventually } from './eventually.ts';
import { alice, bob, encrypted } from './mail.ts';
import { Victim } from './victim.ts';

let victim: Victim;
let start: number;

beforeEach(async () => {
  victim = await Victim.start();
  await victim.passes();
  start = victim.filter.memory('VmRSS');
});

/** The process has at most so many MiB more than at the start, and is otherwise as it was once the clients have gone. */
async function costs(mebibytes: number, clients: readonly Client[]): Promise<void> {
  const used = Math.round(victim.filter.memory('VmRSS') - start);
  await victim.passes();
  for (const client of clients) client.reset();
  await victim.unharmed();
  assert.ok(used <= mebibytes, `${used} MiB`);
}

/** A client that reads nothing. */
async function deaf(): Promise<Client> {
  const client = await Client.connect(victim.site.port);
  client.socket.pause();
  return client;
}

describe('clients that dawdle', () => {
  test('ten that send octet by octet: the message arrives as it is', async () => {
    const mail = encrypted({ size: 6000 });
    const clients = await Promise.all(Array.from({ length: 10 }, () => victim.hello()));
    await Promise.all(
      clients.map(async client => {
        await client.open(mail);
        for (const octet of mail.wire) {
          client.socket.write(Buffer.from([octet]));
          await turn();
        }
        assert.match(await client.reply(), /^250 /);
      }),
    );
    const lengths = victim.hop.take().map(({ length }) => length);
    assert.deepEqual(lengths, Array<number>(10).fill(mail.wire.length - 3));
    await costs(40, clients);
  });

  test('a thousand that only connect', async t => {
    // Each has a share of the descriptors, whether it uses it or not.
    if (descriptorLimit() < 3100) return t.skip('the limit of open files is too low here');
    const clients = await Promise.all(Array.from({ length: 1000 }, () => Client.connect(victim.site.port)));
    for (const client of clients) assert.match(await client.reply(), /^220 /);
    await costs(40, clients);
  });

  test('a hundred that stop in a large header', async () => {
    const header = Buffer.from(`From: <${alice}>\r\n${`X: ${'y'.repeat(994)}\r\n`.repeat(250)}`);
    const clients = await Promise.all(Array.from({ length: 100 }, () => victim.hello()));
    await Promise.all(clients.map(client => client.open({ from: alice, to: [bob] })));
    await Promise.all(clients.map(client => client.write(header)));
    await costs(120, clients);
  });
});

describe('clients that do not read', () => {
  /** Waits until nothing moves any more: for half a second the same octets are unsent and unread. */
  async function stuck(clients: readonly Client[]): Promise<void> {
    let before = '';
    let looks = 0;
    await eventually(() => {
      const unsent = clients.map(({ socket }) => socket.writableLength);
      const now = [...unsent, ...victim.filter.unread(victim.site.port)].join(' ');
      looks = now === before ? looks + 1 : 0;
      before = now;
      assert.ok(looks >= 25, now);
    }, 30_000);
  }

  for (const [name, line] of [
    ['EHLO, whose answer is the longest', 'EHLO x\r\n'],
    ['NOOP', 'NOOP\r\n'],
    ['addresses that come back', `MAIL FROM:<${'@'.repeat(400)}>\r\n`],
  ] as const) {
    test(`fifty, each with 10 MB of ${name}`, async () => {
      const clients = await Promise.all(Array.from({ length: 50 }, deaf));
      const flood = Buffer.from(line.repeat(Math.ceil(10_000_000 / line.length)));
      for (const client of clients) void client.write(flood);
      await stuck(clients);
      // Half of it is what the garbage collector leaves lying about while so many commands are answered.
      await costs(110, clients);
    });
  }
});
