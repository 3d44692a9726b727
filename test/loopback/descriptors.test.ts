// Too few descriptors: connections, spool files and the next hop's connections compete for them, and nothing may end the process.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Client, sendOne } from './client.ts';
import { encrypted } from './mail.ts';
import { assertAllDelivered } from './next-hop.ts';
import { Victim } from './victim.ts';

const limited = ['sh', '-c', 'ulimit -n 64 && exec "$@"', 'sh'];

/** Connects that many clients, and gives those that are greeted; the others see their connection end. */
async function crowd(victim: Victim, count: number): Promise<Client[]> {
  const clients = await Promise.all(Array.from({ length: count }, () => Client.connect(victim.site.port)));
  const greeted: Client[] = [];
  for (const client of clients) {
    const reply = await client.reply();
    if (reply !== '') greeted.push(client);
    else client.reset();
  }
  return greeted;
}

describe('more clients than descriptors', () => {
  test('those that are turned away leave a few lines for the admin, and the process works afterwards', async () => {
    const victim = await Victim.start({}, limited);
    const greeted = await crowd(victim, 200);
    assert.ok(greeted.length > 0 && greeted.length < 60, `${greeted.length} of 200`);
    await victim.filter.log.find(/^ERROR .*cannot accept/);
    for (const client of greeted) client.reset();
    await victim.filter.descriptorsBackTo(victim.descriptors);
    await victim.passes();
    await victim.filter.stop();
    const errors = victim.filter.log.all.filter(line => line.startsWith('ERROR '));
    assert.ok(errors.length < 5, `${errors.length} lines`);
  });

  test('those that are greeted have what a large message needs', async () => {
    const victim = await Victim.start({}, limited);
    const greeted = await crowd(victim, 200);
    const mails = greeted.map((_, at) => encrypted({ size: 20_000_000, from: `s${at}@one.test` }));
    const replies = await Promise.all(
      greeted.map(async (client, at) => {
        const [mail] = mails.slice(at);
        assert.ok(mail);
        await client.ask('EHLO client.test');
        return await client.send(mail);
      }),
    );
    assert.ok(
      replies.every(reply => reply.startsWith('250 ')),
      replies.join('\n'),
    );
    assertAllDelivered(victim.hop, mails);
    for (const client of greeted) client.reset();
    await victim.filter.stop();
  });
});

describe('no descriptor at all, whatever the reason', () => {
  test('clients are turned away; who is there gets an answer that asks to try again; then mail passes', async () => {
    const victim = await Victim.start();
    const { filter, site, hop } = victim;
    const client = await victim.hello();
    const restore = filter.takeDescriptors();
    const greeted = await crowd(victim, 50);
    assert.equal(greeted.length, 0);
    assert.match(await client.send(encrypted()), /^451 4\.3\.2 /);
    assert.deepEqual(hop.take(), []);
    restore();
    assert.match(await client.send(encrypted()), /^250 /);
    assert.match(await sendOne(site.port, encrypted()), /^250 /);
    assert.equal(hop.take().length, 2);
    await client.quit();
    await victim.unharmed();
  });
});
