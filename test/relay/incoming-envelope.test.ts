// What goes along with an incoming message: where it came from, who gets its bounces, parameters, addresses of every kind.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Signer } from '../peers/signer.ts';
import type { Mail } from './client.ts';
import { author, describeIncoming, free, signedReadable, signedSealed, vic } from './incoming.ts';
import { readable, sealed } from './mail.ts';
import { xforward } from './postfix-setup.ts';
import { assertIntact } from './relay.ts';
import { assertParameters } from './sink.ts';

const utf8 = (text: string) => Buffer.from(text);

describeIncoming('XFORWARD, incoming', { reinject: [xforward] }, relay => {
  for (const [attributes, name, address] of [
    ['NAME=mx.two.test ADDR=192.0.2.8 PORT=4711', 'mx.two.test', '192.0.2.8'],
    ['NAME=mx.two.test ADDR=IPV6:2001:db8::7 PORT=4711', 'mx.two.test', 'IPv6:2001:db8::7'],
    ['NAME=[UNAVAILABLE] ADDR=192.0.2.9 PORT=[UNAVAILABLE]', undefined, '192.0.2.9'],
  ] as const) {
    test(`from ${name ?? 'nowhere'} at ${address}`, async () => {
      const message = await signedSealed();
      const mark = relay().postfix.log.mark;
      // From an address that is not Postfix's own, else the source is local.
      const client = await relay().connect('127.0.0.9');
      await client.command('EHLO mx.two.test');
      assert.match(await client.command(`XCLIENT ${attributes}`), /^220 /);
      assert.match(await client.send({ from: author, to: [vic], message }, 'under_score'), /^250 /);
      await client.quit();
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, message);
      const { IDENT, PORT, ...origin } = delivery?.origin ?? {};
      assert.deepEqual(origin, {
        ...(name && { NAME: name }),
        ADDR: address,
        PROTO: 'ESMTP',
        HELO: 'under_score',
        SOURCE: 'REMOTE',
      });
      assert.match(IDENT ?? '', /^[0-9A-F]+$/, "the reinject smtpd's queue id");
      const plain = address.replace('IPv6:', '').replaceAll('.', '\\.');
      await relay().postfix.log.find(new RegExp(`reinject_incoming/smtpd.*orig_client=.*\\[${plain}\\]`), mark);
    });
  }
});

describeIncoming('the envelope of incoming mail', {}, (relay, dns) => {
  for (const [from, kept] of [
    [author, true],
    ['Mallory@TWO.test', true],
    ['', false],
    ['other@two.test', false],
    ['mallory@sub.two.test', false],
    ['mallory+bounces@two.test', false],
    ['SRS0=Xx1=B5=two.test=mallory@forwarder.test', false],
    ['bounces+vic=one.test@lists.test', false],
    ['"quoted local"@two.test', false],
    ['"mallory"@two.test', false],
    ['@route.test:mallory@two.test', false],
    ['mallory@[192.0.2.1]', false],
  ] as const) {
    test(`MAIL FROM:<${from}> ${kept ? 'is kept' : 'becomes the null sender'}`, async () => {
      const message = await signedSealed();
      assert.match(await relay().send({ from, to: [vic], message }), /^250 /);
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, message);
      assert.equal(delivery?.from.address, kept ? from : '');
    });
  }

  test('what cannot be delivered is reported to nobody but the author', async () => {
    relay().sink.refusals.set('full@one.test', '552 5.2.2 Mailbox full');
    const message = await signedSealed();
    assert.match(await relay().send({ from: 'innocent@elsewhere.test', to: ['full@one.test'], message }), /^250 /);
    await relay().arrived(0);
    assert.match(await relay().send({ from: author, to: ['full@one.test'], message }), /^250 /);
    const [report] = await relay().arrived(1);
    assert.deepEqual([report?.from.address, report?.to.map(to => to.address)], ['', [author]]);
  });

  test('parameters reach the mailbox', async () => {
    const message = await signedReadable({ subject: 'Grüße' }, 'Grüße\r\n');
    const mail: Mail = {
      from: author,
      to: [free, 'Carol+tag@one.test'],
      message,
      mailParameters: `SIZE=${message.length} BODY=8BITMIME RET=HDRS ENVID=QQ+2B314159`,
      rcptParameters: to => (to === free ? 'NOTIFY=FAILURE,DELAY ORCPT=rfc822;Robert+2Bx@one.test' : 'NOTIFY=NEVER'),
    };
    assert.match(await relay().send(mail), /^250 /);
    const [delivery] = await relay().arrived(1);
    assertIntact(delivery, message);
    assertParameters(delivery?.from, ['BODY=8BITMIME', 'ENVID=QQ+2B314159', 'RET=HDRS']);
    const to = (address: string) => delivery?.to.find(recipient => recipient.address === address);
    assertParameters(to(free), ['NOTIFY=FAILURE,DELAY', 'ORCPT=rfc822;Robert+2Bx@one.test']);
    assertParameters(to('Carol+tag@one.test'), ['NOTIFY=NEVER', 'ORCPT=rfc822;Carol+2Btag@one.test']);
  });

  test('NOTIFY=SUCCESS is answered by Postfix alone', async () => {
    const message = await signedSealed();
    const rcptParameters = () => 'NOTIFY=SUCCESS';
    assert.match(await relay().send({ from: author, to: [vic], message, rcptParameters }), /^250 /);
    const [delivery] = await relay().arrived(1);
    assertParameters(delivery?.to[0], ['NOTIFY=SUCCESS', 'ORCPT=rfc822;vic@one.test']);
  });

  test('parameters of a sender that is replaced', async () => {
    const message = await signedSealed();
    const mail = { from: 'list@forwarder.test', to: [vic], message, mailParameters: 'BODY=8BITMIME RET=FULL ENVID=x' };
    assert.match(await relay().send(mail), /^250 /);
    const [delivery] = await relay().arrived(1);
    assert.equal(delivery?.from.address, '');
    assertParameters(delivery?.from, ['BODY=8BITMIME', 'ENVID=x', 'RET=FULL']);
  });

  test('8-bit mail, every octet', async () => {
    const octets = Array.from({ length: 256 }, (_, octet) => octet).filter(octet => ![0, 10, 13].includes(octet));
    const body = Buffer.concat([utf8('Grüße\r\n'), Buffer.from(octets), utf8('\r\n.\r\n..\r\n')]);
    const own = new Signer('two.test', 'eight', { canonicalization: 'simple/simple' });
    dns().txt(own.name, [own.record]);
    const message = await own.sign(readable({ from: author }, body));
    const mail = { from: author, to: [free], message, mailParameters: 'BODY=8BITMIME' };
    assert.match(await relay().send(mail), /^250 /);
    const [delivery] = await relay().arrived(1);
    assertIntact(delivery, message);
  });

  for (const [from, to] of [
    [author, 'käthe@one.test'],
    ['jürgen@two.test', vic],
    ['δοκιμή@two.test', '用户@one.test'],
  ] as const) {
    test(`SMTPUTF8 from ${from} to ${to}`, async () => {
      const message = await signedSealed({ from });
      const mail = { from, to: [to], message, mailParameters: 'SMTPUTF8 BODY=8BITMIME' };
      assert.match(await relay().send(mail), /^250 /);
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, message);
      assert.deepEqual([delivery?.from.address, delivery?.to[0]?.address], [from, to]);
      assertParameters(delivery?.from, ['BODY=8BITMIME', 'SMTPUTF8']);
    });
  }

  for (const [kind, domain, d] of [
    ['U-label', 'bücher.test', 'xn--bcher-kva.test'],
    ['A-label', 'xn--bcher-kva.test', 'xn--bcher-kva.test'],
  ] as const) {
    test(`From with an IDN as ${kind}`, async () => {
      const own = new Signer(d, 'idn');
      dns().txt(own.name, [own.record]);
      const from = `jürgen@${domain}`;
      const message = await own.sign(sealed({ from }));
      const mail = { from, to: [vic], message, mailParameters: 'SMTPUTF8' };
      const reply = await relay().send(mail);
      // d= has to equal the From domain, letter for letter.
      assert.match(reply, domain === d ? /^250 / : /^554 5\.7\.1 No valid DKIM signature found$/);
      await relay().arrived(domain === d ? 1 : 0);
    });
  }

  test('an author whose relay has no DNS', async () => {
    const from = 'dave@[192.0.2.7]';
    const message = sealed({ from });
    assert.match(await relay().send({ from, to: [vic], message }), /^250 /);
    const [delivery] = await relay().arrived(1);
    assertIntact(delivery, message);
    assert.equal(delivery?.from.address, from);
    const open = { from, to: [vic], message: readable({ from }, 'hello\r\n') };
    assert.match(await relay().send(open), /^523 /);
  });
});
