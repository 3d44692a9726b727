// Places at a destination: a transaction takes one a domain at RCPT, and every way in which it can end gives it back. With 8 connections a
// destination that is not known to be healthy has four.

import assert from 'node:assert/strict';
import { afterEach, before, describe, test } from 'node:test';
import { gate, letter, open, World } from '../relay/transport-world.ts';
import type { Client } from './client.ts';
import { eventually } from './eventually.ts';

const domains = Array.from({ length: 30 }, (_, n) => `d${n}.test`);
const unused = [...domains];
const places = 4;
let world: World;

before(async () => {
  world = await World.start({ domains, keys: { filtermail_transport_connections: 8, max_message_size: 100_000 } });
});

const clients = new Set<Client>();

afterEach(() => {
  world.remote.answer = () => undefined;
  for (const client of clients) client.reset();
  clients.clear();
});

async function connected(): Promise<Client> {
  const client = await world.lmtp();
  clients.add(client);
  return client;
}

const busy = '451 4.3.2 Transport busy';
const taken = /^250 2\.1\.5 /;

/** A domain that nobody has sent mail to. */
function fresh(): string {
  return unused.pop() ?? assert.fail('no domain is left');
}

async function begun(to: string): Promise<Client> {
  const client = await connected();
  assert.match(await client.ask('MAIL FROM:<a@one.test>'), /^250 /);
  assert.match(await client.ask(`RCPT TO:<${to}>`), taken);
  return client;
}

/** Takes all places at the domain; returns their transactions. */
async function full(domain: string): Promise<Client[]> {
  const clients: Client[] = [];
  for (let n = 0; n < places; n++) clients.push(await begun(`user${n}@${domain}`));
  const late = await connected();
  assert.deepEqual(await open(late, [`late@${domain}`, `other@${domain.toUpperCase()}`]), [busy, busy, busy]);
  await late.quit();
  return clients;
}

async function hasOneMore(domain: string): Promise<void> {
  const client = await connected();
  assert.match(await client.ask('MAIL FROM:<a@one.test>'), /^250 /);
  const end = performance.now() + 5000;
  let reply = '';
  while (performance.now() < end) {
    reply = await client.ask(`RCPT TO:<more@${domain}>`);
    if (taken.test(reply)) break;
  }
  assert.match(reply, taken, 'a place is free again');
  assert.equal(await client.ask(`RCPT TO:<again@${domain}>`), '250 2.1.5 Ok', 'one a domain, not one a recipient');
  const late = await connected();
  assert.deepEqual(await open(late, [`late@${domain}`]), [busy, busy], 'only one');
  await late.quit();
}

const defective = 'From: <a@one.test>\r\n\r\nbare\nLF\r\n.\r\n';
const oversize = letter(150_000);

const endings: Record<string, (client: Client, domain: string) => Promise<void>> = {
  RSET: async client => assert.match(await client.ask('RSET'), /^250 /),
  LHLO: async client => assert.match(await client.ask('LHLO again.test'), /^250-/),
  QUIT: client => client.quit(),
  'hanging up': async client => void client.socket.destroy(),
  'a reset of the connection': async client => client.reset(),
  'a half-closed connection': async client => client.end(),
  'the next MAIL, pipelined behind RSET': async client => {
    await client.write('RSET\r\nMAIL FROM:<b@one.test>\r\n');
    assert.match(await client.reply(), /^250 /);
    assert.match(await client.reply(), /^250 /);
  },
  'a line that is too long': async client => {
    assert.match(await client.ask(`NOOP ${'x'.repeat(5000)}`), /^500 /);
  },
  'a bare LF in a command': async client => {
    await client.write('NOOP\n');
    assert.match(await client.reply(), /^500 /);
  },
  'a message with a bare LF': async client => {
    assert.match(await client.ask('DATA'), /^354 /);
    await client.write(defective);
    assert.match(await client.reply(), /^550 /);
  },
  'a message that is too large': async client => {
    assert.match(await client.ask('DATA'), /^354 /);
    void client.write(oversize);
    assert.match(await client.reply(), /^552 /);
  },
  'hanging up in the message': async client => {
    assert.match(await client.ask('DATA'), /^354 /);
    await client.write(oversize.subarray(0, 50_000));
    client.socket.destroy();
  },
  'QUIT in the message and hanging up': async client => {
    assert.match(await client.ask('DATA'), /^354 /);
    await client.write(`${letter(1000).toString('latin1').slice(0, 500)}\r\nQUIT\r\n`);
    client.end();
  },
};

for (const [name, end] of Object.entries(endings)) {
  test(`given back by ${name}`, async () => {
    const domain = fresh();
    const [first] = await full(domain);
    assert.ok(first);
    await end(first, domain);
    await hasOneMore(domain);
  });
}

describe('deliveries', () => {
  test('one that is over gives its place back, and a fast one makes the destination healthy', async () => {
    const domain = fresh();
    const [first] = await full(domain);
    assert.ok(first);
    assert.match(await first.ask('DATA'), /^354 /);
    void first.write(letter());
    assert.match(await first.reply(), /^250 /);
    for (let n = 0; n < 12; n++) await begun(`more${n}@${domain}`);
  });

  test('one that runs keeps it, and gives it back while a slower one of the same transaction goes on', async () => {
    const [slow, quick] = [fresh(), fresh()];
    const { promise, resolve } = gate();
    const { promise: other, resolve: go } = gate();
    world.remote.answer = async said => {
      if (said.verb !== 'message') return undefined;
      await (world.isAt(slow, said) ? promise : other);
      return world.isAt(slow, said) ? undefined : '451 4.3.0 later';
    };
    const client = await connected();
    await open(client, [`a@${slow}`, `b@${quick}`]);
    const mark = world.remote.heard.length;
    void client.write(letter());
    await world.remote.hears(/^\(message\)$/, { mark, count: 2 });
    for (let n = 1; n < places; n++) await begun(`c${n}@${quick}`);
    const late = await connected();
    assert.deepEqual(await open(late, [`late@${quick}`]), [busy, busy]);
    go(undefined);
    await world.filter.log.find(new RegExp(`1 to ${quick.replace('.', '\\.')}`));
    assert.match((await open(await connected(), [`late@${quick}`]))[0] ?? '', taken);
    resolve(undefined);
    assert.match(await client.reply(), /^250 /);
    assert.match(await client.reply(), /^451 /);
  });

  test('some recipients busy, others not: those are delivered', async () => {
    const [crowded, free] = [fresh(), fresh()];
    await full(crowded);
    const client = await connected();
    const answers = await open(client, [`a@${crowded}`, `b@${free}`]);
    assert.equal(answers[0], busy);
    assert.match(answers[1] ?? '', taken);
    assert.match(answers[2] ?? '', /^354 /);
    void client.write(letter());
    assert.equal(await client.reply(), '250 2.0.0 OK (SMTP)');
    await client.quit();
  });
});

test('after all of it, nothing is held', async () => {
  world.remote.hangUp();
  await eventually(() => {
    const sockets = world.filter.descriptors().filter(path => path.startsWith('socket:'));
    assert.ok(sockets.length <= 4, sockets.join('\n'));
  });
  assert.deepEqual(world.filter.spoolFiles(world.world.site), []);
  await world.filter.stop();
});
