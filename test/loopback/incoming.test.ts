// What may arrive, and for whom: every literal reply, what reaches the next hop, every line of the log, over both entrances.

import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { armored, armorPart, encryptedMail, pkesk, securejoinMail, seipd } from '../message/samples.ts';
import { otherSpellings } from '../message/spellings.ts';
import { Signer } from '../peers/signer.ts';
import type { Mail } from './client.ts';
import { entrances, http, smtp } from './entrances.ts';
import {
  type Expected,
  encryptedLine,
  Gate,
  needsEncryption,
  nothingLeft,
  passed,
  play,
  reportLine,
  unencryptedLine,
} from './incoming-gate.ts';
import { author, letter, me, readableText, reportText, sealedBy, signed, vic } from './incoming-mail.ts';
import { plain } from './mail.ts';

const two = author('two.test');
const relay = new Signer('relay.test');
const from = `From: <${me}>\r\nSubject: [...]\r\n`;
const envelope = (...to: string[]) => [`MAIL FROM:<${me}>`, ...to.map(address => `RCPT TO:<${address}>`)];
const accepted = (line: string, ...to: string[]): Expected => ({
  reply: passed,
  log: [line],
  envelope: envelope(...(to.length > 0 ? to : [vic])),
});
const refused = (line = unencryptedLine, sender = me): Expected => ({
  reply: needsEncryption,
  log: [line, `WARN Rejected unencrypted mail from: ${sender}`, /^WARN Incoming: mail from .* is not encrypted: /],
});

let gate: Gate;
const open = () => gate;

before(async () => {
  gate = await Gate.open([two, author('relay.test')]);
  gate.dns.txt(relay.name, [relay.record]);
  gate.site.enforceEncryption(vic);
  gate.site.enforceEncryption('eve@one.test');
  gate.site.disable('gone@one.test');
  gate.site.disable('away@one.test');
  gate.site.disable(me);
  mkdirSync(join(gate.site.mailboxes, 'free@one.test'));
});

describe('to somebody who wants encrypted mail only', () => {
  const securejoin = (change: Parameters<typeof securejoinMail>[0] = {}) =>
    letter(signed(two, securejoinMail(change).replace('me@one.test', me), { fields: ['From'] }));

  play(open, 'encrypted mail', () => letter(sealedBy(two)), accepted(encryptedLine));
  play(
    open,
    'encrypted mail as another program writes it: a preamble and armor headers',
    () => {
      const second = armorPart(armored(pkesk + seipd, { headers: ['Version: Enigmail 2.0', 'Comment: a: b'] }));
      const preamble = 'This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)\r\n';
      return letter(signed(two, encryptedMail({ header: from, preamble, second })));
    },
    accepted(encryptedLine),
  );
  for (const [name, change] of [
    ['a preamble that is too long', { preamble: `${'x'.repeat(257)}\r\n` }],
    ['a preamble that is no ASCII', { preamble: 'caf\xe9\r\n' }],
    ['text behind the parts', { epilogue: 'Hello\r\n' }],
    ['a third part', { more: '\r\n--b\r\n\r\nHello' }],
  ] as const) {
    play(open, name, () => letter(signed(two, encryptedMail({ header: from, ...change }))), refused());
  }

  for (const kind of ['vc', 'vg']) {
    const part = `Content-Type: text/plain\r\n\r\nSecure-Join: ${kind}-request`;
    play(
      open,
      `a securejoin request (${kind})`,
      () => securejoin({ fields: `Secure-Join: ${kind}-request\r\n`, parts: [part] }),
      accepted(encryptedLine),
    );
  }
  play(open, 'a securejoin request with more to say', () => securejoin({ parts: ['\r\nHello'] }), refused());
  play(open, 'a request of another name', () => securejoin({ fields: 'Secure-Join: vc-auth\r\n' }), refused());

  play(open, 'mail that anyone can read', () => letter(signed(two, readableText())), refused());
  play(open, 'the same without a signature: the cheap checks come first', () => letter(readableText()), refused());
});

describe('a report by a mailer-daemon', () => {
  const report = (change: Parameters<typeof reportText>[0] = {}, to = [vic]) =>
    letter(signed(two, reportText(change)), { from: '', to });
  const taken = (address: string): Expected => ({
    reply: passed,
    log: [reportLine(address)],
    envelope: ['MAIL FROM:<>', `RCPT TO:<${vic}>`],
  });

  for (const address of ['MAILER-DAEMON@two.test', 'mailer-daemon@two.test', 'Mailer-Daemon@Two.Test']) {
    play(open, address, () => report({ from: address }), taken(address));
  }
  for (const fields of ['Auto-Submitted: no\r\n', 'auto-submitted : x\r\n', 'AUTO-SUBMITTED:\r\n auto-replied\r\n']) {
    play(open, JSON.stringify(fields), () => report({ fields }), taken('MAILER-DAEMON@two.test'));
  }
  play(
    open,
    'of a type in capitals',
    () => report({ type: 'MULTIPART/Report; report-type=delivery-status' }),
    taken('MAILER-DAEMON@two.test'),
  );

  const by = 'MAILER-DAEMON@two.test';
  for (const [name, change, sender] of [
    ['without Auto-Submitted', { fields: '' }, by],
    ['with an empty Auto-Submitted', { fields: 'Auto-Submitted:\r\n' }, by],
    ['with an Auto-Submitted of blanks', { fields: 'Auto-Submitted: \t\r\n \t\r\n' }, by],
    ['of another local part', { from: 'postmaster@two.test' }, 'postmaster@two.test'],
    ['of a local part with a tag', { from: 'mailer-daemon+x@two.test' }, 'mailer-daemon+x@two.test'],
    ['of another domain part', { from: 'x@mailer-daemon.test' }, 'x@mailer-daemon.test'],
    ['of another multipart type', { type: 'multipart/mixed' }, by],
    ['of another report type', { type: 'text/report' }, by],
  ] as const) {
    play(open, `${name} is none`, () => report(change), refused(unencryptedLine, sender));
  }

  play(open, 'without a signature', () => letter(reportText(), { from: '' }), {
    reply: '554 5.7.1 No DKIM signature found',
    log: [
      reportLine(by),
      new RegExp(`^WARN Incoming: refused mail from ${by}: No DKIM signature found; kept as /.*\\.eml$`),
    ],
  });
});

describe('readable mail by its recipients', () => {
  const readable = (...to: string[]) => letter(signed(two, readableText()), { to });

  for (const to of [
    ['free@one.test'],
    ['FREE@One.Test'],
    ['free+tag@one.test'],
    ['nobody@one.test'],
    ['free@one.test', 'nobody@one.test'],
  ]) {
    play(open, `to ${to.join(' and ')}`, () => readable(...to), accepted(unencryptedLine, ...to));
  }
  for (const to of [
    ['VIC@ONE.test'],
    ['vic+tag@one.test'],
    ['vic+a.b@one.test'],
    ['free@one.test', vic],
    [vic, 'free@one.test'],
    ['../free@one.test'],
  ]) {
    play(open, `not to ${to.join(' and ')}`, () => readable(...to), refused());
  }
  for (const to of [['free@one.test', 'free@two.test'], ['free@sub.one.test'], ['free@xone.test']]) {
    test(`not to ${to.join(' and ')}`, () => gate.expects(smtp, readable(...to), refused()));
  }

  for (const foreign of [
    'someone@two.test',
    'a%two.test@one.test',
    'two.test!a@one.test',
    '@two.test:a@one.test',
    '@one.test,@two.test:a@one.test',
    '"a@two.test"@one.test',
    '"a%two.test"@one.test',
    'a\\@two.test@one.test',
    'someone',
    'a@sub.one.test',
    'a@[127.0.0.1]',
  ]) {
    test(`nobody can post to ${foreign}, whatever the message is`, async () => {
      gate.hop.take();
      for (const to of [[foreign], ['free@one.test', foreign]]) {
        for (const mail of [letter(sealedBy(two), { to }), readable(...to)])
          assert.equal(await http.send(gate.site, mail), '550 5.7.1 Relay access denied');
      }
      assert.deepEqual(gate.hop.take(), []);
      await gate.logged(0);
    });
  }

  test('no other spelling of an address is without enforcement', async t => {
    gate.hop.take();
    for (const spelling of otherSpellings.flatMap(text => [text, text.replace('vic', 'free')])) {
      for (const entrance of entrances) {
        // What HTTP takes from the ends of a header is no part of it; a NUL is none of HTTP.
        if (entrance === http && (spelling !== spelling.trim() || /^$|\0/.test(spelling))) continue;
        await t.test(`${JSON.stringify(spelling)}, over ${entrance.name}`, async () => {
          for (const to of [[spelling], ['free@one.test', spelling]]) {
            const reply = await entrance.send(gate.site, readable(...to));
            assert.match(reply, /^(?:523 |501 5\.|550 5\.7\.1 Relay)/, to.join(' and '));
          }
        });
      }
    }
    assert.deepEqual(gate.hop.take(), []);
    await gate.logged(0);
  });

  test('a marker that is made while it runs counts at once', async () => {
    await gate.expects(smtp, readable('late@one.test'), accepted(unencryptedLine, 'late@one.test'));
    gate.site.enforceEncryption('late@one.test');
    await gate.expects(smtp, readable('late@one.test'), refused());
  });

  test('a mailbox that cannot be looked at enforces', async () => {
    writeFileSync(join(gate.site.mailboxes, 'file@one.test'), '');
    symlinkSync('loop@one.test', join(gate.site.mailboxes, 'loop@one.test'));
    for (const to of ['file@one.test', 'loop@one.test', `${'x'.repeat(300)}@one.test`]) {
      assert.equal((await gate.sent(smtp, readable(to))).reply, needsEncryption, to);
    }
  });
});

describe('MAIL FROM', () => {
  for (const [name, sender, forwarded] of [
    ['equal to From', me, me],
    ['equal in another case', 'ME@Two.TEST', 'ME@Two.TEST'],
    ['of another domain', 'me@list.test', ''],
    ['of another user', 'you@two.test', ''],
    ['rewritten by a forwarder', 'SRS0=x=tt=two.test=me@list.test', ''],
    ['the same in quotes', '"me"@two.test', ''],
    ['with a dot at the end', 'me@two.test.', ''],
    ['null', '', ''],
  ]) {
    play(open, name ?? '', () => letter(sealedBy(two), { from: sender ?? '' }), {
      reply: passed,
      log: [encryptedLine],
      envelope: [`MAIL FROM:<${forwarded}>`, `RCPT TO:<${vic}>`],
    });
  }

  const parameters = ' SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ314159';
  for (const [sender, forwarded] of [
    [me, me],
    ['me@list.test', ''],
  ] as const) {
    test(`parameters are kept: ${sender}`, () =>
      gate.expects(
        smtp,
        { ...letter(sealedBy(two)), from: sender, parameters },
        {
          reply: passed,
          log: [encryptedLine],
          envelope: [`MAIL FROM:<${forwarded}>${parameters}`, `RCPT TO:<${vic}>`],
        },
      ));
  }
});

describe('DISABLED mailboxes', () => {
  const dropped = (address: string) => `WARN Incoming: dropped recipient ${address} of mail from ${me}: DISABLED`;
  const sealedTo = (...to: string[]): Mail => letter(sealedBy(two), { to });

  play(open, 'one of three', () => sealedTo(vic, 'gone@one.test', 'eve@one.test'), {
    reply: passed,
    log: [encryptedLine, dropped('gone@one.test')],
    envelope: envelope(vic, 'eve@one.test'),
  });
  play(open, 'in another case and with a tag', () => sealedTo('GONE+x@one.test', vic), {
    reply: passed,
    log: [encryptedLine, dropped('GONE+x@one.test')],
    envelope: envelope(vic),
  });
  play(open, 'all', () => sealedTo('gone@one.test', 'away@one.test'), {
    reply: nothingLeft,
    log: [encryptedLine, dropped('gone@one.test'), dropped('away@one.test')],
  });
  play(
    open,
    'the only one that enforces: the others get readable mail',
    () => {
      gate.site.enforceEncryption('gone@one.test');
      return letter(signed(two, readableText()), { to: ['gone@one.test', 'free@one.test'] });
    },
    { reply: passed, log: [unencryptedLine, dropped('gone@one.test')], envelope: envelope('free@one.test') },
  );
  play(open, 'the sender: of no matter', () => sealedTo(vic), accepted(encryptedLine));
  play(open, 'another spelling is left to Postfix', () => sealedTo('"gone"@one.test'), {
    ...accepted(encryptedLine, '"gone"@one.test'),
  });
});

test('a message signed by another program passes', async () => {
  for (const entrance of entrances) {
    const mail = plain('Hello\r\n', 'me@relay.test', ['free@one.test']);
    const wire = await relay.sign(mail.wire.subarray(0, -3));
    await gate.expects(
      entrance,
      { ...mail, wire: Buffer.concat([wire, Buffer.from('.\r\n')]) },
      {
        reply: passed,
        log: [unencryptedLine],
        envelope: ['MAIL FROM:<me@relay.test>', 'RCPT TO:<free@one.test>'],
      },
    );
  }
});

test('the next hop decides: its refusals are the answer', async () => {
  for (const [answer, reply] of [
    ['550 5.1.1 No such user', '550 5.1.1 No such user'],
    ['450 4.2.0 Greylisted', '450 4.2.0 Greylisted'],
    ['421 4.3.2 Going down', '451 4.3.2 Going down'],
  ] as const) {
    for (const entrance of entrances) {
      gate.hop.answer = ({ verb }) => (verb === 'RCPT' ? answer : undefined);
      await gate.expects(entrance, letter(sealedBy(two)), {
        reply,
        log: [encryptedLine, /^WARN Incoming: encrypted mail from me@two\.test was not reinjected: /],
      });
    }
  }
  gate.hop.answer = () => undefined;
});

test('its log is one, and it ends well', () => gate.stop());
