// The rules for outgoing mail, over the real socket: every literal reply, what reaches the next hop, what the log says.

import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, beforeEach, describe, test } from 'node:test';
import { securejoinMail } from '../message/samples.ts';
import { Binary } from './binary.ts';
import { Client, type Mail, sendOne } from './client.ts';
import { alice, bob, encrypted, plain, written } from './mail.ts';
import { assertDelivered, NextHop } from './next-hop.ts';
import { type Keys, Site } from './site.ts';

const needsEncryption = '523 Encryption Needed: Invalid Unencrypted Mail';
const encryptedLine = 'INFO Outgoing: Filtering encrypted mail.';
const unencryptedLine = 'INFO Outgoing: Filtering unencrypted mail.';

let hop: NextHop;
let site: Site;
let filter: Binary;
let mark: number;

before(async () => {
  hop = await NextHop.start();
  await restart({});
});
beforeEach(() => {
  hop.take();
  mark = filter.log.mark;
});

async function restart(keys: Keys): Promise<void> {
  await filter?.stop();
  site = await Site.make(hop.port, keys);
  filter = await Binary.serve(site);
}

/** What a message gets, and what the log then says, the line with the verdict first. */
async function sent(mail: Mail): Promise<{ reply: string; log: string[] }> {
  const from = filter.log.mark;
  const reply = await sendOne(site.port, mail);
  await filter.log.find(/^INFO /, from);
  return { reply, log: filter.log.since(from) };
}

/** Passes as it is, the line being all that is logged; the commands that the next hop got. */
async function passes(mail: Mail, line: string): Promise<void> {
  await commandsOf(mail, line);
}

async function commandsOf(mail: Mail, line: string): Promise<readonly string[]> {
  const { reply, log } = await sent(mail);
  assert.equal(reply, '250 2.0.0 Ok: queued as 42', "the next hop's own answer");
  assert.deepEqual(log, [line]);
  return assertDelivered(hop, mail.wire).commands;
}

/** Refused with this reply; one INFO line and at least one WARN, in this order. */
async function refused(mail: Mail, expected: string, line: string): Promise<void> {
  const { reply } = await sent(mail);
  assert.equal(reply, expected);
  await filter.log.find(/^WARN /, mark);
  const log = filter.log.since(mark);
  assert.equal(log[0], line);
  assert.ok(
    log.slice(1).every(text => text.startsWith('WARN ')),
    log.join('\n'),
  );
  assert.deepEqual(hop.take(), []);
}

describe('the sender', () => {
  for (const address of [
    '',
    'alice',
    '"alice"@one.test',
    'al ice@one.test',
    'a..b@one.test',
    '.a@one.test',
    'a@',
    'a@b@one.test',
    'a@one..test',
    '\xff@one.test',
  ]) {
    test(`<${JSON.stringify(address)}>`, async () => {
      const client = await Client.hello(site.port);
      assert.equal(await client.ask(`MAIL FROM:<${address}>`), `500 5.1.7 Invalid from address <${address}>`);
      await filter.log.find(/^WARN Outgoing: refused sender /, mark);
      assert.equal(await client.ask(`MAIL FROM:<${alice}>`), '250 2.1.0 Ok');
      await client.quit();
    });
  }

  for (const address of [
    "o'neil+x@one.test",
    'a@[192.0.2.1]',
    'a@[IPv6:2001:db8::1]',
    'a.b!#$%&*-/=?^_`{|}~@one.test',
    '\xc3\xa4@\xc3\xb6.test',
  ]) {
    test(`<${JSON.stringify(address)}> is taken and kept`, async () => {
      const commands = await commandsOf(
        encrypted({ from: Buffer.from(address, 'latin1').toString() }, { from: address }),
        encryptedLine,
      );
      assert.ok(commands.includes(`MAIL FROM:<${address}>`), commands.join('\n'));
    });
  }
});

describe('the From field', () => {
  const body = '\r\n\r\nHello\r\n';
  for (const [name, header] of [
    ['missing', 'Subject: x'],
    ['twice', 'From: <me@one.test>\r\nFrom: <me@one.test>'],
    ['with two addresses', 'From: me@one.test, you@one.test'],
    ['with a group', 'From: us: me@one.test;'],
    ['empty', 'From:'],
    ['without address', 'From: Me'],
  ] as const) {
    test(name, () => refused(written(header + body), '500 5.6.0 Invalid FROM header', unencryptedLine));
  }

  test('another address', () =>
    refused(
      written(`From: You <you@one.test>${body}`),
      '500 5.7.1 Invalid FROM <you@one.test> for <me@one.test>',
      unencryptedLine,
    ));

  test('another address, encrypted', () =>
    refused(
      { ...encrypted({ from: 'you@one.test' }), from: 'me@one.test' },
      '500 5.7.1 Invalid FROM <you@one.test> for <me@one.test>',
      encryptedLine,
    ));

  test('the same in another case', () => passes(encrypted({ from: 'ALICE@One.Test' }, { from: alice }), encryptedLine));
});

describe('what may leave', () => {
  test('encrypted mail', async () => {
    const commands = await commandsOf(encrypted(), encryptedLine);
    assert.ok(commands.includes(`RCPT TO:<${bob}>`));
  });

  test('a securejoin request', () => passes(written(securejoinMail()), encryptedLine));

  test('a securejoin request with other text', () =>
    refused(written(securejoinMail({ parts: ['\r\nHello Bob'] })), needsEncryption, unencryptedLine));

  test('readable mail does not, and the log has the line that is counted', async () => {
    await refused(plain('Hello\r\n'), needsEncryption, unencryptedLine);
    assert.ok(filter.log.since(mark).includes(`WARN Rejected unencrypted mail from: ${alice}`));
  });

  const setup = (subject: string, type: string) =>
    `From: <me@one.test>\r\nTo: <me@one.test>\r\nSubject: ${subject}\r\nContent-Type: ${type}; boundary="b"\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n`;
  const good = setup('Autocrypt Setup Message', 'multipart/mixed');

  test('an Autocrypt Setup Message to oneself', () =>
    passes(written(good, 'me@one.test', ['ME@one.test']), unencryptedLine));

  for (const [name, text, to] of [
    ['to somebody else', good, ['you@one.test']],
    ['to oneself and somebody else', good, ['me@one.test', 'you@one.test']],
    ['to oneself twice', good, ['me@one.test', 'me@one.test']],
    ['with another subject', setup('Autocrypt Setup Message!', 'multipart/mixed'), ['me@one.test']],
    ['with two subjects', setup('Autocrypt Setup Message\r\nSubject: x', 'multipart/mixed'), ['me@one.test']],
    ['with another type', setup('Autocrypt Setup Message', 'multipart/related'), ['me@one.test']],
  ] as const) {
    test(`an Autocrypt Setup Message ${name} does not`, () =>
      refused(written(text, 'me@one.test', to), needsEncryption, unencryptedLine));
  }
});

describe('the rate', () => {
  before(() => restart({ max_user_send_per_minute: 60, max_user_send_burst_size: 3 }));

  test('a burst, then one a second, counted by the sender without its case; the connection stays usable', async () => {
    const client = await Client.hello(site.port);
    const began = performance.now();
    for (const from of ['flood@one.test', 'FLOOD@one.test', 'Flood@ONE.test']) {
      assert.match(await client.send(encrypted({ from: 'flood@one.test' }, { from })), /^250 /);
    }
    assert.ok(performance.now() - began < 900, 'three in less than a second, else this shows nothing');
    const over = await client.ask('MAIL FROM:<fLOOD@one.test>');
    assert.equal(over, '450 4.7.1: Too much mail from <fLOOD@one.test>, retry in 1 s');
    assert.match(await client.ask(`RCPT TO:<${bob}>`), /^503 5\.5\.1 /);
    assert.match(await client.send(encrypted({ from: 'calm@one.test' })), /^250 /);
    await client.quit();
    await filter.log.find(/^WARN .*flood@one\.test/i, mark);
    assert.equal(hop.take().length, 4);
  });

  test('a refusal does not lengthen the wait', async () => {
    const client = await Client.hello(site.port);
    const ask = async () => {
      const reply = await client.ask('MAIL FROM:<eager@one.test>');
      if (reply.startsWith('250 ')) assert.match(await client.ask('RSET'), /^250 /);
      return reply;
    };
    while ((await ask()).startsWith('250 '));
    const began = performance.now();
    while (!(await ask()).startsWith('250 '));
    const waited = performance.now() - began;
    assert.ok(waited < 1100, `${Math.round(waited)} ms`);
    await client.quit();
  });
});

describe('passthrough', () => {
  before(() => restart({ passthrough_senders: 'Free@one.test', passthrough_recipients: 'vic@two.test @open.test' }));

  test('a sender in the list', () => passes(plain('Hello\r\n', 'free@one.test'), unencryptedLine));
  test('a sender in another case', () => passes(plain('Hello\r\n', 'FREE@One.test'), unencryptedLine));
  test('a recipient in the list, in another case', () =>
    passes(plain('Hello\r\n', alice, ['VIC@two.test']), unencryptedLine));
  test('recipients of a domain in the list', () =>
    passes(plain('Hello\r\n', alice, ['a@open.test', 'b@OPEN.test']), unencryptedLine));

  for (const to of [
    ['vic@two.test', 'else@two.test'],
    ['a@sub.open.test'],
    ['a@xopen.test'],
    ['vic+tag@two.test'],
    ['"vic"@two.test'],
    ['"x@open.test"@two.test'],
    ['x%two.test@open.test'],
    ['two.test!x@open.test'],
    ['@open.test:x@two.test'],
    ['free@one.test'],
  ]) {
    test(`not to ${to.join(' and ')}`, () => refused(plain('Hello\r\n', alice, to), needsEncryption, unencryptedLine));
  }

  test('a forged From does not pass for a sender in the list', () =>
    refused(
      { ...plain('Hello\r\n'), from: 'free@one.test' },
      `500 5.7.1 Invalid FROM <${alice}> for <free@one.test>`,
      unencryptedLine,
    ));
});

describe('DISABLED mailboxes', () => {
  before(async () => {
    await restart({});
    site.disable('vic@one.test');
    site.disable('gone@one.test');
    site.disable('eve@two.test');
    mkdirSync(join(site.mailboxes, 'fine@one.test'));
    symlinkSync('nowhere', join(site.mailboxes, 'fine@one.test', 'DISABLED'));
    writeFileSync(join(site.mailboxes, 'odd@one.test'), '');
  });

  const recipients = (commands: readonly string[]) =>
    commands.filter(line => line.startsWith('RCPT')).map(line => line.slice(9, -1));

  async function delivered(mail: Mail, expected: readonly string[], complaints: number): Promise<void> {
    const { reply } = await sent(mail);
    assert.match(reply, /^250 /);
    const deliveries = hop.take();
    assert.deepEqual(
      deliveries.map(({ commands }) => recipients(commands)),
      expected.length === 0 ? [] : [expected],
    );
    if (complaints > 0) await filter.log.find(/^WARN /, mark);
    assert.equal(
      filter.log.since(mark).filter(line => line.startsWith('WARN ')).length,
      complaints,
      filter.log.since(mark).join('\n'),
    );
  }
  const to = (...addresses: string[]): Mail => ({ ...encrypted(), to: addresses });

  test('one of three recipients', () =>
    delivered(to(bob, 'vic@one.test', 'carol@two.test'), [bob, 'carol@two.test'], 1));
  test('in another case', () => delivered(to('VIC@ONE.test', bob), [bob], 1));
  test('with a tag', () => delivered(to('vic+tag@one.test', bob), [bob], 1));
  test('all of them: 250, nothing goes out', () => delivered(to('vic@one.test', 'gone@one.test'), [], 2));
  test('the sender: 250, nothing goes out', () => delivered(encrypted({ from: 'gone@one.test' }), [], 1));
  test('of another domain: no business of ours', () => delivered(to('eve@two.test'), ['eve@two.test'], 0));
  test('spelled in another way: not looked up', () =>
    delivered(to('"vic"@one.test', 'vic%one.test@one.test'), ['"vic"@one.test', 'vic%one.test@one.test'], 0));
  test('a path is no address', () =>
    delivered(to('../one.test/vic@one.test', '..@one.test'), ['../one.test/vic@one.test', '..@one.test'], 0));
  test('no file: not disabled', () =>
    delivered(to('nobody@one.test', 'fine@one.test'), ['nobody@one.test', 'fine@one.test'], 0));
  test('an unencrypted message is refused all the same', () =>
    refused(plain('Hello\r\n', alice, ['vic@one.test']), needsEncryption, unencryptedLine));

  test('a file made while it runs counts at once', async () => {
    await delivered(to('late@one.test'), ['late@one.test'], 0);
    site.disable('late@one.test');
    mark = filter.log.mark;
    await delivered(to('late@one.test'), [], 1);
  });
});

test('the log of all of it has one INFO line a message and ends well', async () => {
  await filter.stop();
});
