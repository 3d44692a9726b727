// Large messages, long lines, many recipients, many messages.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, type Mail, wire } from './client.ts';
import { readable, sealed } from './mail.ts';
import { speedAdjust } from './postfix-setup.ts';
import { assertIntact, describeRelay } from './relay.ts';

// Postfix lets everything through, so that the limit which is met is the filter's.
const generous = { main: { message_size_limit: 0 }, settings: { passthrough_recipients: '@plain.test' } };

for (const [name, choices] of Object.entries({
  'large mail': generous,
  'large mail, speed_adjust': { ...generous, entry: [speedAdjust] },
})) {
  describeRelay(name, choices, relay => {
    const from = 'large@one.test';
    const to = ['x@plain.test'];

    test('dots at the beginning of lines', async () => {
      const lines = ['.', '..', '.leading', '...', '', '.', 'not.', '.\t.', `.${'x'.repeat(3000)}`, '.'];
      const message = readable({ from, extra: ['.Dotted: field', '..Dotted: field'] }, `${lines.join('\r\n')}\r\n`);
      assert.match(await relay().send({ from, to, message }), /^250 /);
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, message);
    });

    test('nothing but dots', async () => {
      const message = readable({ from }, '.\r\n'.repeat(200_000));
      assert.match(await relay().send({ from, to, message }), /^250 /);
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, message);
    });

    test('armor in one line of a megabyte', async () => {
      const message = sealed({ from, size: 1_000_000, lineLength: 2_000_000 });
      assert.match(await relay().send({ from, to: ['bob@two.test'], message }), /^250 /);
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, message);
    });

    test('no body, and a body without a line', async () => {
      for (const message of [
        readable({ from }, ''),
        Buffer.from(
          `From: <${from}>\r\nDate: Mon, 16 Nov 2026 03:04:21 +0000\r\nMessage-ID: <a@b>\r\nTo: x@plain.test\r\n`,
        ),
      ]) {
        assert.match(await relay().send({ from, to, message }), /^250 /);
        const [delivery] = await relay().arrived(1);
        assertIntact(delivery, message);
      }
    });

    test('20 MB', async () => {
      const message = sealed({ from, size: 15_000_000 });
      assert.ok(message.length > 20_000_000);
      assert.match(await relay().send({ from, to: ['bob@two.test'], message }), /^250 /);
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, message);
    });

    test('over the limit: refused at the end or at MAIL, and the connection lives on', async () => {
      const message = sealed({ from, size: 25_000_000 });
      assert.ok(message.length > 31_457_280);
      const mail: Mail = { from, to: ['bob@two.test'], message };
      const client = await relay().connect();
      assert.equal(await client.send(mail), '552 5.3.4 Message exceeds maximum size');
      await client.command('RSET');
      const announced = { ...mail, mailParameters: 'SIZE=31457281' };
      assert.equal(await client.transaction(announced), '552 5.3.4 Message exceeds maximum size');
      await client.command('RSET');
      const small = { ...mail, message: sealed({ from }) };
      assert.match(await client.transaction(small), /^250 /);
      await client.quit();
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, small.message);
    });

    test('1000 recipients', async () => {
      const to = Array.from({ length: 1000 }, (_, number) => `r${number}@two.test`);
      const message = sealed({ from });
      assert.match(await relay().send({ from, to, message }), /^250 /);
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, message);
      assert.deepEqual(delivery?.to.map(({ address }) => address).sort(), to.sort());
    });

    test('200 messages over 20 connections arrive once each', async () => {
      const mails = Array.from({ length: 200 }, (_, number): Mail => {
        const from = `u${number}@one.test`;
        return { from, to: ['bob@two.test'], message: sealed({ from, size: (number % 20) * 2_000 + 500 }) };
      });
      const waiting = [...mails];
      const worker = async () => {
        const client = await relay().connect();
        await client.command('EHLO client.test');
        for (let mail: Mail | undefined; (mail = waiting.shift()); )
          assert.match(await client.transaction(mail), /^250 /);
        await client.quit();
      };
      await Promise.all(Array.from({ length: 20 }, worker));
      const deliveries = await relay().arrived(200);
      const byName = new Map(deliveries.map(delivery => [delivery.from.address, delivery]));
      for (const mail of mails) assertIntact(byName.get(mail.from), mail.message);
    });
  });
}

describeRelay('connections to the reinject smtpd', {}, relay => {
  const reinjects = () =>
    relay().postfix.log.all.filter(line => /reinject\/smtpd\[\d+\]: connect from/.test(line)).length;

  async function begin(number: number): Promise<Client> {
    const from = `c${number}@one.test`;
    const mail = { from, to: ['bob@two.test'], message: sealed({ from }) };
    const client = await Client.connect(relay().filterPort);
    await client.command('EHLO client.test');
    assert.match(await client.open(mail), /^354/);
    await client.write(wire(mail.message).subarray(0, -3));
    return client;
  }

  async function finish(client: Client): Promise<void> {
    await client.write('.\r\n');
    assert.match(await client.reply(), /^250 /);
    await client.quit();
  }

  test('none is held while a message is still arriving, and an idle one is used again', async () => {
    const slow = await begin(1000);
    await finish(await begin(1001));
    await finish(slow);
    await relay().arrived(2);
    assert.equal(reinjects(), 1);
  });

  test('120 messages that end at once share 90 of them', async () => {
    const clients = await Promise.all(Array.from({ length: 120 }, (_, number) => begin(number)));
    await Promise.all(clients.map(finish));
    await relay().arrived(120);
    assert.ok(reinjects() <= 90, `${reinjects()} connections`);
  });
});
