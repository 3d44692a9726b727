// Large signed messages, long and dotted lines, many messages at once, a filter that goes away in the middle of them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Signer } from '../peers/signer.ts';
import { Client, type Mail, wire } from './client.ts';
import { author, describeIncoming, free, signedReadable, signedSealed, signer, vic } from './incoming.ts';
import { sealed } from './mail.ts';
import { speedAdjust } from './postfix-setup.ts';
import { assertIntact, type Relay } from './relay.ts';
import type { Delivery } from './sink.ts';

const main = { message_size_limit: 0 };
/** Postfix as a whole leaves lines as they are. */
const unbroken = { main: { ...main, lmtp_line_length_limit: 0 } };

for (const [name, choices] of Object.entries({
  'large incoming mail': unbroken,
  'large incoming mail, speed_adjust': { ...unbroken, entry: [speedAdjust] },
})) {
  describeIncoming(name, choices, (relay, dns) => {
    async function passes(message: Buffer, to = vic): Promise<void> {
      assert.match(await relay().send({ from: author, to: [to], message }), /^250 /);
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, message);
    }

    for (const canonicalization of ['simple/simple', 'relaxed/relaxed']) {
      test(`signed lines that begin with dots, ${canonicalization}`, async () => {
        const own = new Signer('two.test', canonicalization.slice(0, 6), { canonicalization });
        dns().txt(own.name, [own.record]);
        const lines = [
          '.',
          '..',
          '.leading',
          '...',
          '',
          '.',
          'not.',
          '.\t.',
          `.${'x'.repeat(3000)}`,
          '. ',
          '',
          '.',
          '',
        ];
        await passes(await own.sign(readableLines(lines)), free);
      });
    }

    test('nothing but dots', async () => {
      await passes(await signedReadable({}, '.\r\n'.repeat(200_000)), free);
    });

    test('lines as long as what Postfix reads at a time, with dots where it goes on', async () => {
      // It reads up to 2048 octets.
      const lengths = [997, 998, 999, 2046, 2047, 2048, 2049, 4095, 4096, 4097, 6144];
      const lines = lengths.flatMap(length => ['.', 'x'].map(octet => octet.repeat(length)));
      const extra = lengths.flatMap(length => ['.', ' '].map(octet => `X-Long: ${octet.repeat(length - 8)}`));
      await passes(await signer.sign(readableLines(lines, extra)), free);
    });

    test('armor in one line of a megabyte', async () => {
      await passes(await signedSealed({ size: 1_000_000, lineLength: 2_000_000 }));
    });

    test('20 MB', async () => {
      const message = await signedSealed({ size: 15_000_000 });
      assert.ok(message.length > 20_000_000);
      await passes(message);
    });

    test('over the limit: refused at the end, and the connection lives on', async () => {
      const mail = { from: author, to: [vic], message: sealed({ from: author, size: 25_000_000 }) };
      const client = await relay().connect();
      assert.equal(await client.send(mail), '552 5.3.4 Message exceeds maximum size');
      await client.command('RSET');
      const message = await signedSealed();
      assert.match(await client.transaction({ ...mail, message }), /^250 /);
      await client.quit();
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, message);
    });

    test('100 messages in parallel arrive once each', async () => {
      const mails = await manyMails(100);
      const replies = await Promise.all(mails.map(mail => relay().send(mail)));
      assert.deepEqual(
        replies.filter(reply => !reply.startsWith('250 ')),
        [],
      );
      const arrived = byRecipient(await relay().arrived(100));
      for (const mail of mails) assertIntact(arrived.get(mail.to[0] ?? '')?.[0], mail.message);
    });
  });
}

// The postmaster is not to be told of what the filter did not take.
const quiet = { main: { notify_classes: '' } };

describeIncoming('the filter goes away in the middle of a load', quiet, relay => {
  test('told to stop: every message arrives exactly once', async () => {
    const mails = await manyMails(150);
    const { replies } = await sendUntilTaken(relay(), mails, filter => filter.stop());
    assert.equal(replies.length, 150);
    const arrived = byRecipient(await relay().arrived(150));
    for (const mail of mails) assertIntact(arrived.get(mail.to[0] ?? '')?.[0], mail.message);
  });

  test('killed: nothing is lost, and twice comes only what broke off after the last octet', async () => {
    const mails = await manyMails(150);
    const { brokenOff } = await sendUntilTaken(relay(), mails, filter => filter.kill());
    await relay().postfix.idle();
    const arrived = byRecipient(relay().sink.take());
    for (const { to, message } of mails) {
      const [address = ''] = to;
      const copies = arrived.get(address) ?? [];
      assert.ok(copies.length >= 1, `${address} got nothing`);
      assert.ok(copies.length <= 1 + (brokenOff.get(address) ?? 0), `${address} got ${copies.length}`);
      for (const copy of copies) assertIntact(copy, message);
    }
  });
});

function readableLines(lines: readonly string[], extra: readonly string[] = []): Buffer {
  const header = [
    `From: <${author}>`,
    'To: <free@one.test>',
    'Date: Mon, 16 Nov 2026 03:04:21 +0000',
    'Message-ID: <long@two.test>',
    ...extra,
  ];
  return Buffer.from(`${[...header, '', ...lines].join('\r\n')}\r\n`);
}

/** Each to a mailbox of its own. */
function manyMails(count: number): Promise<Mail[]> {
  const mail = async (_: unknown, number: number): Promise<Mail> => {
    const message = await signedSealed({ size: (number % 20) * 2_000 + 500 });
    return { from: author, to: [`r${number}@one.test`], message };
  };
  return Promise.all(Array.from({ length: count }, mail));
}

function byRecipient(deliveries: readonly Delivery[]): Map<string | undefined, Delivery[]> {
  return Map.groupBy(deliveries, ({ to }) => to[0]?.address);
}

/** Over 20 connections at a time, again and again until taken, while the filter is ended and started again. */
async function sendUntilTaken(
  relay: Relay,
  mails: readonly Mail[],
  end: (filter: Relay['filter']) => Promise<unknown>,
) {
  const waiting = [...mails];
  const replies: string[] = [];
  /** By recipient: how often everything had been sent, and the answer was no. */
  const brokenOff = new Map<string, number>();
  let restarted: Promise<void> | undefined;

  const attempt = async (mail: Mail) => {
    const client = await Client.connect(relay.entryPort);
    await client.command('EHLO two.test');
    const opened = await client.open(mail);
    if (!opened.startsWith('354')) {
      client.abort();
      return { reply: opened, complete: false };
    }
    await client.write(wire(mail.message));
    const reply = await client.reply();
    client.abort();
    return { reply, complete: true };
  };
  const worker = async () => {
    for (let mail: Mail | undefined; (mail = waiting.shift()); ) {
      if (replies.length >= mails.length / 3) {
        const { filter } = relay;
        restarted ??= end(filter).then(() => relay.startFilterAgain());
      }
      const { reply, complete } = await attempt(mail);
      if (reply.startsWith('250 ')) {
        replies.push(reply);
        continue;
      }
      assert.match(reply, /^4|^$/);
      const [address = ''] = mail.to;
      if (complete) brokenOff.set(address, (brokenOff.get(address) ?? 0) + 1);
      waiting.push(mail);
      await restarted;
    }
  };
  await Promise.all(Array.from({ length: 20 }, worker));
  assert.ok(restarted, 'the filter was ended');
  await restarted;
  return { replies, brokenOff };
}
