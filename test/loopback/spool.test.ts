// Where messages wait: in memory, in unlinked files, and what happens when there is no room for them.

import assert from 'node:assert/strict';
import { chmodSync, readdirSync, rmdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { Client, Mail } from './client.ts';
import { eventually } from './eventually.ts';
import { encrypted } from './mail.ts';
import { assertAllDelivered, assertDelivered } from './next-hop.ts';
import { Victim } from './victim.ts';

const noRoom = /^452 4\.3\.1 /;
const mebibyte = 1024 * 1024;

/** Clients that have sent all but the last octet of their messages. */
async function almostSent(victim: Victim, mails: readonly Mail[]): Promise<Client[]> {
  return await Promise.all(
    mails.map(async mail => {
      const client = await victim.hello();
      assert.match(await client.open(mail), /^354 /);
      await client.write(mail.wire.subarray(0, -1));
      return client;
    }),
  );
}

async function finish(clients: readonly Client[]): Promise<string[]> {
  return await Promise.all(
    clients.map(async client => {
      await client.write('\n');
      const reply = await client.reply();
      await client.quit();
      return reply;
    }),
  );
}

const manyMails = (count: number, size: number) =>
  Array.from({ length: count }, (_, at) => encrypted({ size, from: `s${at}@one.test` }));

/** An encrypted message whose wire form has that many octets: the armor nearly all of them, a header field the rest. */
function exactly(octets: number): Mail {
  const mail = encrypted({ size: Math.floor(octets / 1.4) });
  const missing = octets + 3 - mail.wire.length;
  const lines = Math.floor(missing / 500) - 1;
  const field = (length: number) => `X: ${'y'.repeat(length - 5)}\r\n`;
  return {
    ...mail,
    wire: Buffer.concat([Buffer.from(field(500).repeat(lines) + field(missing - lines * 500)), mail.wire]),
  };
}

describe('where messages are', () => {
  test('while all of them have 32 MiB or less: in memory', async () => {
    const victim = await Victim.start();
    const mails = manyMails(10, 2 * mebibyte);
    const clients = await almostSent(victim, mails);
    await eventually(() => assert.ok(victim.filter.memory('VmRSS') > 80, 'the octets have been read'));
    assert.deepEqual(victim.filter.spoolFiles(victim.site), []);
    assert.ok((await finish(clients)).every(reply => reply.startsWith('250 ')));
    assertAllDelivered(victim.hop, mails);
    await victim.unharmed();
  });

  test('twenty of 30 MB at once: in unlinked files, each is what it was, and memory stays flat', async () => {
    const victim = await Victim.start();
    const { filter, site } = victim;
    filter.forgetHighest();
    const before = filter.memory('VmRSS');
    const mails = manyMails(20, 22_000_000);
    const clients = await almostSent(victim, mails);
    await eventually(() => assert.ok(filter.spoolFiles(site).length >= 18, `${filter.spoolFiles(site)}`));
    assert.ok(filter.spoolFiles(site).every(path => path.endsWith(' (deleted)')));
    assert.deepEqual(readdirSync(site.spool), []);
    assert.ok((await finish(clients)).every(reply => reply.startsWith('250 ')));
    assertAllDelivered(victim.hop, mails);
    // 32 MiB of it are messages.
    const used = Math.round(filter.memory('VmHWM') - before);
    assert.ok(used < 130, `${used} MiB`);
    await victim.unharmed();
  });

  test('small ones stay in memory when it is full: they are answered while large ones wait', async () => {
    const victim = await Victim.start();
    const { filter, site } = victim;
    const large = await almostSent(victim, manyMails(2, 20 * mebibyte));
    await eventually(() => assert.ok(filter.spoolFiles(site).length > 0));
    const before = filter.spoolFiles(site).length;
    const mails = manyMails(20, 100_000);
    const clients = await almostSent(victim, mails);
    assert.equal(filter.spoolFiles(site).length, before);
    assert.ok((await finish(clients)).every(reply => reply.startsWith('250 ')));
    assertAllDelivered(victim.hop, mails);
    for (const client of large) client.reset();
    await victim.unharmed();
  });

  test('sizes around the edges of memory, file and write batch, with memory full and not', async () => {
    const victim = await Victim.start();
    const { filter, site } = victim;
    const sizes = [262_144, 524_288].flatMap(edge => [-3, -2, -1, 0, 1, 2, 3].map(off => edge + off));
    for (const memory of ['free', 'full'] as const) {
      const others = memory === 'full' ? await almostSent(victim, manyMails(2, 20 * mebibyte)) : [];
      if (memory === 'full') await eventually(() => assert.ok(filter.spoolFiles(site).length > 0));
      for (const size of sizes) {
        await victim.answers(exactly(size), /^250 /);
      }
      for (const client of others) client.reset();
      await eventually(() => assert.deepEqual(filter.spoolFiles(site), []));
    }
    await victim.unharmed();
  });

  test('clients that go in the middle of large messages leave no file', async () => {
    const victim = await Victim.start();
    const { filter, site, hop } = victim;
    for (const way of ['end', 'reset'] as const) {
      const clients = await almostSent(victim, manyMails(6, 20 * mebibyte));
      await eventually(() => assert.ok(filter.spoolFiles(site).length >= 3));
      for (const client of clients) client[way]();
      await eventually(() => assert.deepEqual(filter.spoolFiles(site), []));
    }
    assert.deepEqual(hop.take(), []);
    await victim.unharmed();
  });
});

describe('no room for a large message: it is read to its end, and the connection lives on', () => {
  /** With memory full, a large message finds no room and a small one passes, on the same connection. */
  async function refuses(victim: Victim): Promise<void> {
    const { filter, hop } = victim;
    const [client] = await almostSent(victim, manyMails(1, 20 * mebibyte));
    assert.ok(client);
    const mark = filter.log.mark;
    const other = await victim.hello();
    assert.match(await other.send(encrypted({ size: 15_000_000 })), noRoom);
    assert.deepEqual(hop.take(), []);
    const small = encrypted();
    assert.match(await other.send(small), /^250 /);
    assertDelivered(hop, small.wire);
    await other.quit();
    await filter.log.find(/^WARN .*452 4\.3\.1/, mark);
    await finish([client]);
    hop.take();
  }

  test('the directory does not exist', async () => {
    const victim = await Victim.start({ filtermail_spool_dir: '/nonexistent/spool' });
    await refuses(victim);
    await victim.unharmed();
  });

  test('the directory is none', async () => {
    const victim = await Victim.start({ filtermail_spool_dir: '/dev/null' });
    await refuses(victim);
    await victim.unharmed();
  });

  test('the directory has gone while it ran', async () => {
    const victim = await Victim.start();
    rmdirSync(victim.site.spool);
    await refuses(victim);
    await victim.unharmed();
  });

  test('the directory cannot be written', async () => {
    const bare = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-all', '--inh-caps=-all'] : [];
    const victim = await Victim.start({}, bare);
    chmodSync(victim.site.spool, 0o500);
    await refuses(victim);
    chmodSync(victim.site.spool, 0o700);
    await victim.unharmed();
  });

  test('files may not grow that large', async () => {
    // In blocks of 512 octets; the compile cache must not be cut short, so it is left out.
    const victim = await Victim.start({}, ['sh', '-c', 'ulimit -f 4000; NODE_DISABLE_COMPILE_CACHE=1 exec "$@"', 'sh']);
    await refuses(victim);
    await victim.unharmed();
  });

  test('no descriptor is left', async () => {
    const victim = await Victim.start();
    const { filter, hop } = victim;
    const [full] = await almostSent(victim, manyMails(1, 20 * mebibyte));
    assert.ok(full);
    const late = encrypted({ size: 15_000_000, from: 'late@one.test' });
    const client = await victim.hello();
    assert.match(await client.open(late), /^354 /);
    const restore = filter.takeDescriptors();
    void client.write(late.wire);
    assert.match(await client.reply(), noRoom);
    restore();
    assert.match(await client.send(late), /^250 /);
    assertDelivered(hop, late.wire);
    await client.quit();
    full.reset();
    await victim.unharmed();
  });
});
