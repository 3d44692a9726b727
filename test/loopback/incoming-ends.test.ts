// Mail that waits for a key when its client goes away or the filter is told to stop: delivered to nobody, or answered properly.

import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, before, beforeEach, describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Client } from './client.ts';
import { answerTo, entrances, post } from './entrances.ts';
import { eventually } from './eventually.ts';
import { Gate, noValidSignature, passed } from './incoming-gate.ts';
import { type Author, author, letter, nameOf, publish, readableText, sealedBy, signed } from './incoming-mail.ts';
import { encrypted } from './mail.ts';

let domains = 0;
const fresh = () => author(`d${++domains}.test`);
const mailOf = (someone: Author) => {
  const from = `me@${someone.domain}`;
  return letter(sealedBy(someone, `From: <${from}>\r\nSubject: x\r\n`), { from });
};
const question = (someone: Author) => `TXT ${nameOf(someone)}`;

/** The key of a new author, whose answer waits for `release`. */
function withheld(gate: Gate, answer?: 'NXDOMAIN'): { someone: Author; release: () => void } {
  const someone = fresh();
  const { promise, resolve } = Promise.withResolvers<void>();
  gate.dns.txt(nameOf(someone), { answer: answer ?? [someone.record], after: promise });
  return { someone, release: resolve };
}

describe('the client goes away while the key is looked up', () => {
  let gate: Gate;
  let descriptors: number;
  before(async () => {
    gate = await Gate.open([]);
    descriptors = gate.filter.descriptors().length;
  });

  const ways: [name: string, leave: (gate: Gate, someone: Author) => Promise<() => void>][] = [
    [
      'an SMTP client that resets',
      async (gate, someone) => {
        const client = await begun(gate, someone);
        return () => client.reset();
      },
    ],
    [
      'an SMTP client that closes',
      async (gate, someone) => {
        const client = await begun(gate, someone);
        return () => client.end();
      },
    ],
    [
      'an HTTP client that resets',
      async (gate, someone) => {
        const sent = post(gate.site, mailOf(someone));
        sent.on('error', () => undefined);
        return () => sent.socket?.resetAndDestroy();
      },
    ],
    [
      'an HTTP client that closes',
      async (gate, someone) => {
        const sent = post(gate.site, mailOf(someone));
        sent.on('error', () => undefined);
        return () => sent.destroy();
      },
    ],
  ];

  async function begun(gate: Gate, someone: Author): Promise<Client> {
    const client = await Client.hello(gate.site.incomingPort);
    const mail = mailOf(someone);
    assert.match(await client.open(mail), /^354 /);
    await client.write(mail.wire);
    return client;
  }

  for (const [name, begin] of ways) {
    test(`${name}: nothing is delivered when the key has come`, async () => {
      const { someone, release } = withheld(gate);
      const leave = await begin(gate, someone);
      await gate.dns.asked(question(someone));
      const { length } = gate.filter.descriptors();
      const mark = gate.filter.log.mark;
      leave();
      await eventually(() => assert.ok(gate.filter.descriptors().length < length, 'the connection is over'));
      release();
      await gate.filter.log.find(new RegExp(`me@${someone.domain} was not reinjected: .*client has gone`), mark);
      const good = fresh();
      publish(gate.dns, good);
      for (const entrance of entrances) assert.equal(await entrance.send(gate.site, mailOf(good)), passed);
      assert.equal(gate.hop.take().length, 2);
    });
  }

  test('40 clients of each kind with 700 kB in a spool: no descriptor is left behind', async () => {
    const { someone, release } = withheld(gate, 'NXDOMAIN');
    const from = `me@${someone.domain}`;
    const text = encrypted({ size: 700_000, from }).wire.toString('latin1').slice(0, -3);
    const mail = letter(signed(someone, text), { from });
    const leaving = await Promise.all(
      Array.from({ length: 40 }, async () => {
        const client = await Client.hello(gate.site.incomingPort);
        assert.match(await client.open(mail), /^354 /);
        await client.write(mail.wire);
        const sent = post(gate.site, mail);
        sent.on('error', () => undefined);
        return () => {
          client.reset();
          sent.destroy();
        };
      }),
    );
    await gate.filter.log.until(
      () => (gate.filter.log.all.filter(line => /Filtering encrypted/.test(line)).length >= 88 ? true : undefined),
      'not all messages are waiting',
    );
    for (const leave of leaving) leave();
    release();
    await gate.unharmed(descriptors);
    assert.deepEqual(gate.hop.take(), []);
  });
});

describe('SIGTERM while a message waits for its key', () => {
  let gate: Gate;
  beforeEach(async () => {
    gate = await Gate.open([]);
  });
  afterEach(async () => {
    gate.filter.signal('SIGTERM');
    await gate.filter.ended();
  });

  for (const entrance of entrances) {
    for (const [name, answer, reply] of [
      ['a key', undefined, passed],
      ['no key', 'NXDOMAIN', noValidSignature],
    ] as const) {
      test(`the transaction over ${entrance.name} ends with ${name}, and so does the process`, async () => {
        const { someone, release } = withheld(gate, answer);
        const waiting = waitingReply(someone, entrance.name);
        await gate.dns.asked(question(someone));
        gate.filter.signal('SIGTERM');
        await refusesConnections();
        release();
        assert.equal(await waiting, reply);
        assert.equal(await gate.filter.ended(5000), 0);
        assert.equal(gate.hop.take().length, reply === passed ? 1 : 0);
        assert.equal(gate.filter.log.all.filter(line => line.startsWith('INFO ')).length, 2);
        if (reply !== passed) assert.match(gate.filter.log.all.at(-1) ?? '', /kept as .*\.eml$/);
      });
    }
  }

  async function refusesConnections(): Promise<void> {
    for (;;) {
      const client = await Client.connect(gate.site.incomingPort).catch(() => null);
      if (client === null) return;
      client.reset();
    }
  }

  async function waitingReply(someone: Author, name: string): Promise<string> {
    if (name === 'HTTP') return (await answerTo(post(gate.site, mailOf(someone)))).body;
    const client = await Client.hello(gate.site.incomingPort);
    const reply = await client.send(mailOf(someone));
    assert.match(await client.reply(), /^421 4\.3\.2 /);
    assert.equal(await client.reply(), '');
    client.end();
    return reply;
  }

  test('a refused message whose client has gone is kept whole or not at all, and told', async () => {
    const { someone, release } = withheld(gate, 'NXDOMAIN');
    const from = `me@${someone.domain}`;
    const text = signed(someone, readableText(from, `${'x'.repeat(1022)}\r\n`.repeat(29_000)));
    const mail = letter(text, { from, to: ['free@one.test'] });
    const client = await Client.hello(gate.site.incomingPort);
    assert.match(await client.open(mail), /^354 /);
    await client.write(mail.wire);
    await gate.dns.asked(question(someone));
    release();
    const directory = join(gate.site.rejected, 'dkim-verify');
    while (readdirSync(directory).length === 0) await setImmediate();
    client.reset();
    gate.filter.signal('SIGTERM');
    assert.equal(await gate.filter.ended(), 0);
    for (const name of readdirSync(directory)) assert.equal(statSync(join(directory, name)).size, text.length, name);
    assert.match(gate.filter.log.all.at(-1) ?? '', /^WARN Incoming: refused mail .*kept/);
  });
});
