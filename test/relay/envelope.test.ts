// What goes along with a message: where it came from, parameters, addresses of every kind.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Mail } from './client.ts';
import { readable, sealed } from './mail.ts';
import { xforward } from './postfix-setup.ts';
import { assertIntact, describeRelay } from './relay.ts';

describeRelay('XFORWARD through filter and Postfix', { reinject: [xforward] }, relay => {
  function mailOf(from: string): Mail {
    return { from, to: ['bob@two.test'], message: sealed({ from }) };
  }

  test("the client's address, port and greeting", async () => {
    const client = await relay().connect('127.0.0.9');
    const port = client.port;
    assert.match(await client.send(mailOf('origin@one.test'), '[192.0.2.7]'), /^250 /);
    await client.quit();
    const [delivery] = await relay().arrived(1);
    const { IDENT, ...origin } = delivery?.origin ?? {};
    assert.match(IDENT ?? '', /^[0-9A-F]+$/, "the reinject smtpd's queue id");
    assert.deepEqual(origin, {
      ADDR: '127.0.0.9',
      PORT: String(port),
      PROTO: 'ESMTP',
      HELO: '[192.0.2.7]',
      SOURCE: 'REMOTE',
    });
    await relay().postfix.log.find(
      new RegExp(`reinject/smtpd.*: client=.*, orig_client=unknown\\[127\\.0\\.0\\.9\\]:${port}$`),
    );
  });

  for (const [helo, forwarded] of [
    ['under_score', 'under_score'],
    ['plus+and=equals', 'plus+2Band=equals'],
    ['h'.repeat(255), 'h'.repeat(255)],
  ] as const) {
    test(`a greeting that is no host name: ${helo.slice(0, 20)}`, async () => {
      const client = await relay().connect();
      assert.match(await client.send(mailOf('helo@one.test'), helo), /^250 /);
      await client.quit();
      const [delivery] = await relay().arrived(1);
      assert.equal(delivery?.origin.HELO, forwarded);
    });
  }

  test('an IPv6 client with a name, and without one right after it on the same reinject connection', async () => {
    for (const [attributes, name, address] of [
      ['NAME=mail.example.net ADDR=IPV6:2001:db8::7 PORT=4711', 'mail.example.net', 'IPv6:2001:db8::7'],
      ['NAME=[UNAVAILABLE] ADDR=192.0.2.8 PORT=[UNAVAILABLE]', undefined, '192.0.2.8'],
    ] as const) {
      const client = await relay().connect();
      await client.command('EHLO client.test');
      assert.match(await client.command(`XCLIENT ${attributes}`), /^220 /);
      assert.match(await client.send(mailOf('six@one.test')), /^250 /);
      await client.quit();
      const [delivery] = await relay().arrived(1);
      assert.equal(delivery?.origin.NAME, name);
      assert.equal(delivery?.origin.ADDR, address);
      assert.equal(delivery?.origin.HELO, 'client.test');
    }
  });
});

const settings = { passthrough_recipients: '@plain.test' };

describeRelay('parameters and addresses', { settings }, relay => {
  test('8-bit mail with BODY=8BITMIME', async () => {
    const from = 'eight@one.test';
    const octets = Buffer.from(
      Array.from({ length: 256 }, (_, octet) => octet).filter(octet => ![0, 10, 13].includes(octet)),
    );
    const body = Buffer.concat([Buffer.from('Grüße\r\n'), octets, Buffer.from('\r\n')]);
    const message = readable({ from, subject: 'Grüße' }, body);
    assert.match(await relay().send({ from, to: ['x@plain.test'], message, mailParameters: 'BODY=8BITMIME' }), /^250 /);
    const [delivery] = await relay().arrived(1);
    assertIntact(delivery, message);
    assert.ok(delivery?.from.parameters.includes('BODY=8BITMIME'));
  });

  test('BODY is not made up', async () => {
    const from = 'seven@one.test';
    const message = sealed({ from });
    assert.match(await relay().send({ from, to: ['bob@two.test'], message }), /^250 /);
    const [delivery] = await relay().arrived(1);
    assert.deepEqual(
      delivery?.from.parameters.filter(word => !word.startsWith('SIZE=')),
      [],
    );
  });

  for (const [from, to] of [
    ['käthe@one.test', 'bob@two.test'],
    ['alice@one.test', 'jürgen@bücher.test'],
    ['用户@例子.test', 'δοκιμή@παράδειγμα.test'],
  ] as const) {
    test(`SMTPUTF8 from ${from} to ${to}`, async () => {
      const message = sealed({ from, extra: ['Chat-Group-Name: Ärger'] });
      assert.match(await relay().send({ from, to: [to], message, mailParameters: 'SMTPUTF8 BODY=8BITMIME' }), /^250 /);
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, message);
      assert.deepEqual([delivery?.from.address, delivery?.to[0]?.address], [from, to]);
      assert.ok(delivery?.from.parameters.includes('SMTPUTF8'));
    });
  }

  test('addresses of every kind, as they were written', async () => {
    const from = 'Alice@One.Test';
    const to = [
      '"quoted local"@two.test',
      'Bob+tag@two.test',
      'bob@[192.0.2.1]',
      'bob@[IPv6:2001:db8::1]',
      "o'brien=x@two.test",
    ];
    const message = sealed({ from });
    assert.match(await relay().send({ from, to, message }), /^250 /);
    const [delivery] = await relay().arrived(1);
    assert.deepEqual([delivery?.from.address, delivery?.to.map(({ address }) => address).sort()], [from, to.sort()]);
  });

  test('DISABLED recipients are taken out', async () => {
    const from = 'tidy@one.test';
    relay().disable('off@one.test');
    const mark = relay().filter.log.mark;
    const message = sealed({ from });
    assert.match(await relay().send({ from, to: ['OFF@one.test', 'bob@two.test'], message }), /^250 /);
    const [delivery] = await relay().arrived(1);
    assertIntact(delivery, message);
    assert.deepEqual(
      delivery?.to.map(({ address }) => address),
      ['bob@two.test'],
    );
    await relay().filter.log.find(/^WARN .*OFF@one\.test/, mark);

    assert.match(await relay().send({ from, to: ['off@one.test'], message }), /^250 /);
    await relay().arrived(0);
  });

  test('a DISABLED sender sends to nobody, and is not told', async () => {
    const from = 'banned@one.test';
    relay().disable(from);
    assert.match(await relay().send({ from, to: ['bob@two.test'], message: sealed({ from }) }), /^250 /);
    await relay().arrived(0);
    await relay().filter.log.find(/^WARN .*banned@one\.test/);
  });

  test('an invalid sender', async () => {
    const mail = { from: '"quoted"@one.test', to: ['bob@two.test'], message: sealed({ from: 'a@one.test' }) };
    assert.equal(await relay().send(mail), '500 5.1.7 Invalid from address <"quoted"@one.test>');
    assert.equal(await relay().send({ ...mail, from: '' }), '500 5.1.7 Invalid from address <>');
    await relay().arrived(0);
  });
});

const nothing =
  'smtpd_discard_ehlo_keywords=pipelining,size,8bitmime,smtputf8,dsn,enhancedstatuscodes,chunking,vrfy,etrn';

describeRelay('a reinject smtpd that announces nothing', { reinject: [nothing] }, relay => {
  test('gets no parameters', async () => {
    const from = 'bare@one.test';
    const mail: Mail = {
      from,
      to: ['bob@two.test', 'carol@two.test'],
      message: sealed({ from, extra: ['Chat-Group-Name: Ärger'] }),
      mailParameters: 'SIZE=2000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x1',
      rcptParameters: () => 'NOTIFY=NEVER ORCPT=rfc822;orig@two.test',
    };
    assert.match(await relay().send(mail), /^250 /);
    const [delivery] = await relay().arrived(1);
    assertIntact(delivery, mail.message);
    assert.doesNotMatch(delivery?.from.parameters.join(' ') ?? '', /BODY|SMTPUTF8|RET|ENVID/);
    assert.ok(delivery?.to.every(({ parameters }) => !/NOTIFY|orig/.test(parameters.join(' '))));
  });

  test('cannot take addresses beyond ASCII', async () => {
    const mail = { from: 'alice@one.test', to: ['jürgen@two.test'], message: sealed({ from: 'alice@one.test' }) };
    assert.match(await relay().send({ ...mail, mailParameters: 'SMTPUTF8' }), /^553 5\.6\.7 /);
    await relay().arrived(0);
  });
});
