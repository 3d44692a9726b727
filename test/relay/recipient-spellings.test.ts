// Whatever way a recipient is written: nobody gets readable mail into a mailbox that wants none.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { Client, wire } from './client.ts';
import { author, describeIncoming, free, signedReadable, signedSealed, vic } from './incoming.ts';
import { sendOverHttp } from './mxdeliv-client.ts';
import { addresses, commandArguments } from './recipient-spellings.ts';
import type { Relay } from './relay.ts';
import type { Delivery } from './sink.ts';

/** Section by section what Postfix is known to lead to that mailbox. */
const knownWays = [
  ...['<vic@one.test>', '<VIC@ONE.TEST>', '<vic+tag@one.test>', '<"vic"@one.test>', '<v\\ic@one.test>'],
  ...['<vic @one.test>', '<vic@one.test.>', '<vic(x)@one.test>', '<@x.test,@y.test:vic@one.test>', '<vic>'],
  ...['<one.test!vic>', '<vic%one.test>', '<vic%one.test@[127.0.0.1]>', '<vic++@one.test>', '<vic@one.test@>'],
  ...['<vic@[127.0.0.1]>', '<vic+a..b@one.test>', '<"vic+a b"@one.test>', ' <vic@one.test>'],
];

/** Takes a message in for a recipient as it is written; resolves when it has been answered. */
type Entrance = (recipient: string, message: Buffer) => Promise<unknown>;

const number = (delivery: Delivery) => /^X-Number: (.*)\r$/m.exec(delivery.message.toString('latin1'))?.[1] ?? '';

/** Where Dovecot would put it, and more: nothing but letters and digits of the local part counts, no tag. */
function mailboxOf(address: string): string {
  const at = address.lastIndexOf('@');
  const domain = address
    .slice(at + 1)
    .replace(/^\[127\.0\.0\.0*1\]$|\.$/, 'one.test')
    .toLowerCase();
  return `${address
    .slice(0, at)
    .toLowerCase()
    .replace(/\+.*/, '')
    .replace(/[^a-z0-9]/g, '')}@${domain}`;
}

const main = { local_transport: '$virtual_transport' };

describeIncoming('a mailbox that wants encrypted mail only', { main }, relay => {
  let readable: Buffer;
  let sealed: Buffer;

  before(async () => {
    relay().enforceEncryption('victim@one.test');
    readable = await signedReadable();
    sealed = await signedSealed();
  });

  /** Each recipient gets a readable message and an encrypted one: what arrived. */
  async function sendAll(recipients: readonly string[], entrance: Entrance) {
    for (const [index, recipient] of recipients.entries()) {
      await entrance(recipient, Buffer.concat([Buffer.from(`X-Number: readable ${index}\r\n`), readable]));
      await entrance(recipient, Buffer.concat([Buffer.from(`X-Number: sealed ${index}\r\n`), sealed]));
    }
    await relay().postfix.idle();
    const arrived = { readable: [] as [string, string][], sealed: [] as [string, string][] };
    for (const delivery of relay().sink.take()) {
      // A bounce holds the message, but it goes to its author.
      if (delivery.from.address === '' && delivery.to.every(to => to.address === author)) continue;
      const [kind, index] = number(delivery).split(' ');
      for (const { address } of delivery.to)
        arrived[kind === 'sealed' ? kind : 'readable'].push([recipients[Number(index)] ?? '', address]);
    }
    return arrived;
  }

  function assertClosed(arrived: [string, string][]): void {
    // No other mailbox that the list leads to is without enforcement.
    assert.deepEqual(
      arrived.filter(([, address]) => address !== free),
      [],
    );
  }

  function waysToVic(arrived: [string, string][]): string[] {
    return arrived.filter(([, address]) => mailboxOf(address) === vic).map(([recipient]) => recipient);
  }

  for (const [name, parameter] of [
    ['RCPT', ''],
    ['RCPT with SMTPUTF8', ' SMTPUTF8'],
  ] as const) {
    test(`${name} through Postfix`, async () => {
      const arrived = await sendAll(
        commandArguments,
        smtp(() => relay().entryPort, parameter),
      );
      assertClosed(arrived.readable);
      const ways = waysToVic(arrived.sealed);
      assert.deepEqual(
        knownWays.filter(way => !ways.includes(way)),
        [],
      );
      assert.ok(ways.length >= 100, `${ways.length} ways to the mailbox`);
    });
  }

  test('RCPT to the filter itself', async () => {
    const arrived = await sendAll(
      commandArguments,
      smtp(() => relay().filterPort),
    );
    assertClosed(arrived.readable);
    assert.deepEqual(
      knownWays.filter(way => !waysToVic(arrived.sealed).includes(way)),
      [],
    );
  });

  test('X-MAIL-TO over HTTP', async () => {
    const arrived = await sendAll(addresses, http(relay));
    assertClosed(arrived.readable);
    const ways = waysToVic(arrived.sealed);
    const known = addresses.filter(
      address => knownWays.includes(`<${address}>`) && !/[<> ]/.test(address) && !relayed.includes(address),
    );
    assert.deepEqual(
      known.filter(way => !ways.includes(way)),
      [],
    );
  });

  test('the mailbox next to it gets readable mail, alone and not together with it', async () => {
    assert.match(await relay().send({ from: author, to: [free], message: readable }), /^250 /);
    assert.match(await relay().send({ from: author, to: ['Free+tag@One.Test'], message: readable }), /^250 /);
    const both = { from: author, to: [free, vic], message: readable };
    assert.equal(await relay().send(both), '523 Encryption Needed: Invalid Unencrypted Mail');
    const deliveries = await relay().arrived(2);
    assert.deepEqual(deliveries.flatMap(({ to }) => to.map(({ address }) => address)).sort(), [
      'Free+tag@One.Test',
      free,
    ]);
  });
});

/** Ways to vic that name another host, or none: who posts has no business with them. */
const relayed = [
  '@x.test,@y.test:vic@one.test',
  'vic',
  'vic%one.test',
  'vic%one.test@[127.0.0.1]',
  'one.test!vic',
  'vic@[127.0.0.1]',
  'vic@one.test@',
];

function smtp(port: () => number, parameter = ''): Entrance {
  return async (recipient, message) => {
    const client = await Client.connect(port());
    await client.command('EHLO two.test');
    await client.command(`MAIL FROM:<${author}>${parameter}`);
    await client.write(Buffer.from(`RCPT TO:${recipient}\r\n`, 'latin1'));
    const accepted = (await client.reply()).startsWith('250') && (await client.command('DATA')).startsWith('354');
    if (accepted) {
      await client.write(wire(message));
      await client.reply();
    }
    client.abort();
  };
}

function http(relay: () => Relay): Entrance {
  return async (recipient, message) => {
    // Others cannot be in a field, nobody can send them.
    if (/[^\t\x20-\x7e\x80-\xff]/.test(recipient)) return;
    await sendOverHttp(relay().httpPort, author, recipient, message);
  };
}
