// LMTP as Postfix speaks it to the transport mode: a reply for each recipient, in order, each as soon as it can be told.

import assert from 'node:assert/strict';
import { afterEach, before, describe, test } from 'node:test';
import { gate, letter, open, World } from '../relay/transport-world.ts';
import type { Client } from './client.ts';

const domains = ['fast.test', 'slow.test', 'mixed.test'];
let world: World;

before(async () => {
  world = await World.start({ domains, keys: { max_message_size: 1_000_000 } });
});
afterEach(() => {
  world.remote.answer = () => undefined;
  world.remote.taken.length = 0;
});

const sent = '250 2.0.0 OK (SMTP)';

async function replies(client: Client, count: number): Promise<string[]> {
  const all: string[] = [];
  for (let n = 0; n < count; n++) all.push(await client.reply());
  return all;
}

/** Nothing more comes: the next thing said is the answer to the next command. */
async function saysNoMore(client: Client): Promise<void> {
  assert.match(await client.ask('VRFY x'), /^252 /);
}

describe('the dialogue', () => {
  test('LHLO announces no DSN; EHLO and HELO are not known here', async () => {
    const client = await world.lmtp();
    const hello = await client.ask('lhlo postfix.test');
    assert.match(hello, /^250-one\.test\r\n/);
    for (const word of ['PIPELINING', '8BITMIME', 'SMTPUTF8', 'SIZE 1000000', 'ENHANCEDSTATUSCODES']) {
      assert.match(hello, new RegExp(`^250[- ]${word}$`, 'm'));
    }
    assert.doesNotMatch(hello, /DSN|XFORWARD/);
    assert.match(await client.ask('EHLO postfix.test'), /^5\d\d /);
    assert.match(await client.ask('HELO postfix.test'), /^5\d\d /);
    await client.quit();
  });

  test('what is no command is 502 and costs nothing', async () => {
    const client = await world.lmtp();
    assert.match(await client.ask('MAIL FROM:<a@one.test>'), /^250 /);
    assert.match(await client.ask('RCPT TO:<b@fast.test>'), /^250 /);
    for (const line of ['HELP', 'ETRN x', 'TURN', 'BDAT 3 LAST', 'AUTH PLAIN', 'STARTTLS', 'GET / HTTP/1.1']) {
      assert.match(await client.ask(line), /^502 5\.5\.1 /, line);
    }
    assert.match(await client.ask('DATA'), /^354 /);
    void client.write(letter());
    assert.equal(await client.reply(), sent);
    await client.quit();
  });

  test('before LHLO and out of turn it is 503', async () => {
    const client = await world.lmtp();
    assert.match(await client.ask('RCPT TO:<b@fast.test>'), /^503 /);
    assert.match(await client.ask('DATA'), /^503 /);
    assert.match(await client.ask('MAIL FROM:<a@one.test>'), /^250 /);
    assert.match(await client.ask('MAIL FROM:<a@one.test>'), /^503 /);
    assert.match(await client.ask('DATA'), /^503 /);
    await client.quit();
  });

  test('recipients without a domain are 550, each for itself', async () => {
    const client = await world.lmtp();
    const given = ['postmaster', '', 'a@', '@fast.test', 'b@fast.test'];
    const answers = await open(client, given);
    for (const answer of answers.slice(0, 4)) assert.match(answer, /^5(?:50|01) 5\.1\.3 /);
    assert.match(answers[4] ?? '', /^250 /);
    assert.match(answers[5] ?? '', /^354 /);
    void client.write(letter());
    assert.equal(await client.reply(), sent);
    await saysNoMore(client);
    await client.quit();
  });

  for (const [name, recipient, expected] of [
    ['has no domain', 'postmaster', /^550 5\.1\.3 /],
    ['has a control character', 'a\u0001@fast.test', /^501 5\.1\.3/],
    ['has an unbalanced quote', '"a@fast.test', /^501 5\.1\.3/],
  ] as const) {
    test(`DATA gets the last refusal when the only recipient ${name}`, async () => {
      const client = await world.lmtp();
      const [refusal, data] = await open(client, [recipient]);
      assert.match(refusal ?? '', expected);
      assert.equal(data, refusal);
      await client.quit();
    });
  }

  test('DATA gets the last refusal when the only recipient has unknown parameters', async () => {
    const client = await world.lmtp();
    assert.match(await client.ask('MAIL FROM:<a@one.test>'), /^250 /);
    const refusal = await client.ask('RCPT TO:<b@fast.test> WHAT=EVER');
    assert.match(refusal, /^555 5\.5\.4/);
    assert.equal(await client.ask('DATA'), refusal);
    await client.quit();
  });
});

describe('a reply for each recipient', () => {
  test('in order, duplicates included, none for a refused one', async () => {
    world.remote.answer = ({ verb, line }) => {
      if (verb === 'RCPT' && line.includes('<no@')) return '550 5.1.1 nobody';
      return verb === 'RCPT' && line.includes('<later@') ? '452 4.2.2 full' : undefined;
    };
    const client = await world.lmtp();
    const to = [
      'a@fast.test',
      'no@slow.test',
      'nodomain',
      'a@FAST.test',
      'later@mixed.test',
      'a@fast.test',
      'a@slow.test',
    ];
    const answers = await open(client, to);
    assert.deepEqual(
      answers.map(answer => answer.slice(0, 3)),
      ['250', '250', '550', '250', '250', '250', '250', '354'],
    );
    void client.write(letter());
    assert.deepEqual(await replies(client, 6), [
      sent,
      '550 5.1.1 nobody (mx.slow.test said)',
      sent,
      '452 4.2.2 full (mx.mixed.test said)',
      sent,
      sent,
    ]);
    await saysNoMore(client);
    await client.quit();
    const fast = world.remote.taken.filter(({ address }) => address === world.address('fast.test'));
    assert.equal(fast.length, 1, 'one delivery a domain');
  });

  test('a fast first domain is answered while a slow one runs; a slow one holds back those behind it', async () => {
    const { promise, resolve } = gate();
    world.remote.answer = async said => {
      if (said.verb === 'message' && world.isAt('slow.test', said)) await promise;
      return undefined;
    };
    const client = await world.lmtp();
    await open(client, ['a@fast.test', 'b@slow.test', 'c@mixed.test', 'd@fast.test']);
    const mark = world.remote.heard.length;
    void client.write(letter());
    assert.equal(await client.reply(), sent, 'the first, at once');
    await world.filter.log.find(/1 to "?mixed\.test/, 0);
    await world.remote.hears(/^\(message\)$/, { mark, count: 3 });
    await assert.rejects(client.reply(300), /no reply within/);
    resolve(undefined);
    assert.deepEqual(await replies(client, 3), [sent, sent, sent]);
    await client.quit();
  });

  const huge = Buffer.from(
    `From: <a@one.test>\r\nX: ${'y'.repeat(70)}\r\n${`X: ${'z'.repeat(990)}\r\n`.repeat(300)}\r\nbody\r\n.\r\n`,
  );
  const many = Buffer.from(`From: <a@one.test>\r\n${'X: y\r\n'.repeat(1001)}\r\nbody\r\n.\r\n`);
  for (const [name, message, expected] of [
    ['too large', letter(1_200_000), /^552 5\.3\.4 /],
    ['a bare LF', Buffer.from('From: <a@one.test>\r\n\r\nbare\nLF\r\n.\r\n'), /^550 5\.6\.0 /],
    ['a bare CR', Buffer.from('From: <a@one.test>\r\n\r\nbare\rCR\r\n.\r\n'), /^550 5\.6\.0 /],
    ['NUL', Buffer.from('From: <a@one.test>\r\n\r\nN\0L\r\n.\r\n'), /^550 5\.6\.0 /],
    [
      'a line in the header that is no field',
      Buffer.from('From: <a@one.test>\r\nnot a field\r\n\r\nx\r\n.\r\n'),
      /^550 5\.6\.0 /,
    ],
    ['a header over 256 KiB', huge, /^552 5\.3\.4 /],
    ['1001 fields', many, /^552 5\.3\.4 /],
  ] as const) {
    test(`a message that has ${name} is refused as often as it has recipients, and the next one passes`, async () => {
      const client = await world.lmtp();
      const to = ['a@fast.test', 'a@fast.test', 'b@slow.test', 'nodomain', 'c@mixed.test'];
      await open(client, to);
      void client.write(message);
      const answers = await replies(client, 4);
      for (const answer of answers) assert.match(answer, expected);
      assert.equal(new Set(answers).size, 1);
      await saysNoMore(client);
      await open(client, ['a@fast.test']);
      void client.write(letter());
      assert.equal(await client.reply(), sent);
      await client.quit();
      assert.equal(world.remote.taken.length, 1);
    });
  }

  test('a defect is told in the log once', async () => {
    const client = await world.lmtp();
    await open(client, ['a@fast.test', 'b@slow.test'], 'once@one.test');
    void client.write('From: <once@one.test>\r\n\r\nbare\nLF\r\n.\r\n');
    await replies(client, 2);
    await open(client, ['a@fast.test'], 'next@one.test');
    void client.write('From: <next@one.test>\r\n\r\nbare\nLF\r\n.\r\n');
    await client.reply();
    await client.quit();
    const { log } = world.filter;
    await log.find(/refused message from next@one\.test: 550 5\.6\.0/);
    assert.equal(log.all.filter(line => line.includes('once@one.test')).length, 1);
  });
});

describe('many', () => {
  test('1000 recipients of one domain: 1000 replies, one delivery; one more is 452', async () => {
    const client = await world.lmtp();
    const to = Array.from({ length: 1001 }, (_, n) => `user${n}@fast.test`);
    const commands = ['MAIL FROM:<a@one.test>', ...to.map(address => `RCPT TO:<${address}>`), 'DATA'];
    void client.write(commands.map(line => `${line}\r\n`).join(''));
    const answers = await replies(client, 1003);
    assert.equal(answers.filter(answer => answer.startsWith('250 ')).length, 1001);
    assert.match(answers[1001] ?? '', /^452 4\.5\.3 /);
    assert.match(answers[1002] ?? '', /^354 /);
    void client.write(letter());
    assert.deepEqual(new Set(await replies(client, 1000)), new Set([sent]));
    await saysNoMore(client);
    await client.quit();
    assert.deepEqual(
      world.remote.taken.map(({ to }) => to.length),
      [1000],
    );
  });

  test('three transactions in one write', async () => {
    const client = await world.lmtp();
    const one = (to: string[]) =>
      `MAIL FROM:<a@one.test>\r\n${to.map(address => `RCPT TO:<${address}>\r\n`).join('')}DATA\r\n${letter().toString('latin1')}`;
    void client.write(
      `${one(['a@fast.test'])}${one(['b@fast.test', 'c@slow.test'])}RSET\r\n${one(['d@mixed.test'])}QUIT\r\n`,
    );
    const codes = (await replies(client, 4 + 6 + 1 + 4 + 1)).map(answer => answer.slice(0, 3));
    const expected = '250 250 354 250 250 250 250 354 250 250 250 250 250 354 250 221';
    assert.deepEqual(codes, expected.split(' '));
    assert.equal(await client.reply(), '');
    assert.equal(world.remote.taken.length, 4);
  });

  test('200 transactions on one connection, over one connection to the remote', async () => {
    const client = await world.lmtp();
    const { connections } = world.remote;
    for (let n = 0; n < 200; n++) {
      await open(client, ['a@fast.test']);
      void client.write(letter());
      assert.equal(await client.reply(), sent);
    }
    await client.quit();
    assert.ok(world.remote.connections - connections <= 1);
    assert.equal(world.remote.taken.length, 200);
  });
});
