// A report on mail that could not be delivered, made by another Postfix, on its way back.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { freePorts } from '../peers/ports.ts';
import { sendOne } from './client.ts';
import { describeIncoming, signer } from './incoming.ts';
import { readable, sealed } from './mail.ts';
import { Postfix } from './postfix.ts';
import { assertIntact } from './relay.ts';
import { type Delivery, Sink } from './sink.ts';

const alice = 'a@one.test';
const nobody = 'nobody@two.test';
const daemon = 'MAILER-DAEMON@two.test';

describeIncoming('a report from another Postfix', {}, relay => {
  let elsewhere: Sink;
  let two: Postfix;
  let inbox: number;

  before(async () => {
    relay().enforceEncryption(alice);
    elsewhere = await Sink.start();
    elsewhere.refusals.set(nobody, '550 5.1.1 No such user here');
    const ports = await freePorts('entryPort', 'filterPort', 'reinjectPort');
    inbox = ports.reinjectPort;
    // Only its way past the filter is used.
    two = await Postfix.start({ domain: 'two.test', direction: 'outgoing', ...ports, sinkPort: elsewhere.port });
  });

  after(async () => {
    await two?.end();
    await elsewhere?.stop();
  });

  /** What two.test sends back after alice wrote to somebody who is not there. */
  async function bounce(message: Buffer): Promise<Delivery> {
    assert.match(await sendOne(inbox, { from: alice, to: [nobody], message }), /^250 /);
    await two.idle();
    const [report, ...more] = elsewhere.take();
    assert.ok(report);
    assert.deepEqual(more, []);
    assert.deepEqual([report.from.address, report.to.map(to => to.address)], ['', [alice]]);
    const text = report.message.toString('latin1');
    assert.match(text, /^From: Mail Delivery System <MAILER-DAEMON@two\.test>\r$/m);
    assert.match(text, /^Auto-Submitted: auto-replied\r$/m);
    assert.match(text, /^Content-Type: multipart\/report;/m);
    return report;
  }

  for (const [name, message] of [
    ['an encrypted message', sealed({ from: alice })],
    ['a large encrypted message', sealed({ from: alice, size: 200_000 })],
    ['a readable message', readable({ from: alice, subject: 'Grüße' }, 'Grüße\r\n.\r\n..\r\n')],
  ] as const) {
    test(`about ${name}: signed, it arrives with the null sender`, async () => {
      const report = await bounce(message);
      const signed = await signer.sign(report.message);
      const mailParameters = report.from.parameters.filter(word => word.startsWith('BODY=')).join(' ');
      assert.match(await relay().send({ from: '', to: [alice], message: signed, mailParameters }), /^250 2\.0\.0 /);
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, signed);
      assert.deepEqual([delivery?.from.address, delivery?.to.map(to => to.address)], ['', [alice]]);
      assert.deepEqual(await relay().judged(1), [`INFO Incoming: Filtering mailer-daemon message from <${daemon}>`]);
    });

    test(`about ${name}: unsigned, as Postfix makes it, it is refused`, async () => {
      const report = await bounce(message);
      const mail = { from: '', to: [alice], message: report.message };
      assert.equal(await relay().send(mail), '554 5.7.1 No DKIM signature found');
      await relay().arrived(0);
      assert.deepEqual(await relay().judged(1), [`INFO Incoming: Filtering mailer-daemon message from <${daemon}>`]);
    });
  }

  for (const [what, instead] of [
    [/^Auto-Submitted: .*\r\n/m, ''],
    [/^(Auto-Submitted:) .*\r\n/m, '$1 \r\n'],
    [/MAILER-DAEMON@two\.test/, 'postmaster@two.test'],
    [/multipart\/report/, 'multipart/mixed'],
  ] as const) {
    test(`with ${JSON.stringify(instead)} instead of ${what.source} it is like any readable message`, async () => {
      const report = (await bounce(sealed({ from: alice }))).message.toString('latin1');
      assert.match(report, what);
      const message = await signer.sign(Buffer.from(report.replace(what, instead), 'latin1'));
      const mail = { from: '', to: [alice], message };
      assert.equal(await relay().send(mail), '523 Encryption Needed: Invalid Unencrypted Mail');
      await relay().arrived(0);
      await relay().judged(2);
    });
  }
});
