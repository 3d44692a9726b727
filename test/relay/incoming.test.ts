// The incoming filter between Postfix's two smtpds: every verdict as the client of Postfix hears it, and what reaches the mailbox.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Signer } from '../peers/signer.ts';
import { author, describeIncoming, free, received, signedReadable, signedSealed, signer, vic } from './incoming.ts';
import { readable, sealed } from './mail.ts';
import { lmtpCleanup, refuse, speedAdjust, xforward } from './postfix-setup.ts';
import { assertIntact, type Choices } from './relay.ts';

const refusing = refuse({
  'gone@one.test': '550 5.1.1 No such user here',
  'later@one.test': '450 4.2.0 Try again later',
});

const setups: Record<string, Choices> = {
  'reinject smtpd as chatmail has it': { reinject: [refusing] },
  'reinject smtpd with XFORWARD': { reinject: [refusing, xforward] },
  'long lines are not broken': { reinject: [refusing], main: { lmtp_line_length_limit: 0 } },
  speed_adjust: { reinject: [refusing], entry: [speedAdjust] },
};

const encrypted: [name: string, from: string][] = [
  ['02-incoming-securejoin-vc-request-pubkey', 'bobuuzk9@two.test'],
  ['10-incoming-text', 'aliceuuzk9@one.test'],
  ['50-incoming-attachment-vcf', 'aliceuuzk9@one.test'],
  ['52-incoming-securejoin-vc-request-cleartext', 'old233uuzk9@two.test'],
  ['56-incoming-securejoin-vc-request-with-auth', 'old233uuzk9@two.test'],
];

const toVic = { from: author, to: [vic] };

for (const [name, choices] of Object.entries(setups)) {
  describeIncoming(`incoming, ${name}`, choices, (relay, dns) => {
    for (const [name, from] of encrypted) {
      test(`${name} passes`, async () => {
        const message = received(name);
        assert.match(await relay().send({ from, to: [vic], message }), /^250 2\.0\.0 Ok: queued as /);
        const [delivery] = await relay().arrived(1);
        assertIntact(delivery, message);
        assert.deepEqual([delivery?.from.address, delivery?.to.map(to => to.address)], [from, [vic]]);
        assert.deepEqual(await relay().judged(1), ['INFO Incoming: Filtering encrypted mail.']);
      });
    }

    for (const algorithm of ['rsa-sha256', 'ed25519-sha256'] as const) {
      for (const canonicalization of ['simple/simple', 'relaxed/simple', 'relaxed/relaxed']) {
        test(`signed with ${algorithm}, ${canonicalization}`, async () => {
          const own = new Signer('two.test', 'own', { algorithm, canonicalization });
          dns().txt(own.name, [own.record]);
          const message = await own.sign(sealed({ from: author, extra: ['X-Odd:  two  blanks\r\n\t and a fold '] }));
          assert.match(await relay().send({ ...toVic, message }), /^250 /);
          const [delivery] = await relay().arrived(1);
          assertIntact(delivery, message);
          await relay().judged(1);
        });
      }
    }

    test('a delivery report passes, with the null sender', async () => {
      const message = received('69-incoming-dsn-cleartext');
      assert.match(await relay().send({ from: '', to: [vic], message }), /^250 /);
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, message);
      assert.equal(delivery?.from.address, '');
      assert.deepEqual(await relay().judged(1), [
        'INFO Incoming: Filtering mailer-daemon message from <MAILER-DAEMON@one.test>',
      ]);
    });

    test('a readable message passes where nobody minds', async () => {
      const message = await signedReadable();
      assert.match(await relay().send({ from: author, to: [free], message }), /^250 /);
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, message);
      assert.deepEqual(await relay().judged(1), ['INFO Incoming: Filtering unencrypted mail.']);
    });

    test('a readable message is refused where somebody minds', async () => {
      const message = await signedReadable();
      for (const to of [[vic], ['Vic+tag@One.Test'], [free, vic]]) {
        assert.equal(
          await relay().send({ from: author, to, message }),
          '523 Encryption Needed: Invalid Unencrypted Mail',
        );
        assert.deepEqual(await relay().judged(2), [
          'INFO Incoming: Filtering unencrypted mail.',
          `WARN Rejected unencrypted mail from: ${author}`,
        ]);
      }
      await relay().arrived(0);
    });

    test('a message that nobody signed is refused and kept', async () => {
      const message = sealed({ from: author });
      assert.equal(await relay().send({ ...toVic, message }), '554 5.7.1 No DKIM signature found');
      await relay().arrived(0);
      const kept = relay().rejected.find(octets => octets.subarray(-message.length).equals(message));
      assert.ok(kept, 'kept as it came');
      await relay().judged(1);
    });

    test('a message that was tampered with is refused and kept', async () => {
      const signed = (await signedSealed()).toString('latin1');
      for (const [name, tampered] of Object.entries({
        body: signed.replace(/[a-z](?=[^\r]*\r\n-----END)/, letter => letter.toUpperCase()),
        subject: signed.replace('[...]', '[..]'),
        author: signed.replace(`From: <${author}>`, 'From: <other@two.test>'),
      })) {
        assert.notEqual(tampered, signed);
        const message = Buffer.from(tampered, 'latin1');
        assert.equal(await relay().send({ ...toVic, message }), '554 5.7.1 No valid DKIM signature found', name);
        assert.ok(relay().rejected.some(octets => octets.subarray(-message.length).equals(message)));
        await relay().judged(1);
      }
      await relay().arrived(0);
    });

    test('a signature of another domain is refused', async () => {
      const other = new Signer('three.test', 'own');
      dns().txt(other.name, [other.record]);
      const message = await other.sign(sealed({ from: author }));
      assert.equal(await relay().send({ ...toVic, message }), '554 5.7.1 No valid DKIM signature found');
      await relay().arrived(0);
      await relay().judged(1);
    });

    test('while DNS fails the message is deferred, and then it passes', async () => {
      const own = new Signer('two.test', 'failing');
      dns().txt(own.name, 'SERVFAIL');
      const message = await own.sign(sealed({ from: author }));
      assert.match(await relay().send({ ...toVic, message }), /^451 4\.7\.5 /);
      await relay().arrived(0);
      dns().txt(own.name, [own.record]);
      assert.match(await relay().send({ ...toVic, message }), /^250 /);
      await relay().arrived(1);
      await relay().judged(2);
    });

    test('a message without one author is refused', async () => {
      const signed = await signedSealed();
      const message = Buffer.concat([Buffer.from('From: <other@two.test>\r\n'), signed]);
      assert.equal(await relay().send({ ...toVic, message }), '500 5.6.0 Invalid FROM header');
      await relay().arrived(0);
      await relay().judged(1);
    });

    for (const [address, reply] of [
      ['gone@one.test', /^550 5\.1\.1 <gone@one\.test>: Recipient address rejected: No such user here$/],
      ['later@one.test', /^450 4\.2\.0 <later@one\.test>: Recipient address rejected: Try again later$/],
    ] as const) {
      test(`when Postfix refuses ${address}, one of three, nobody gets the message`, async () => {
        const mail = { from: author, to: [vic, address, free], message: await signedSealed() };
        assert.match(await relay().send(mail), reply);
        await relay().arrived(0);
        await relay().judged(1);
      });
    }

    test('DISABLED recipients are taken out', async () => {
      relay().disable('off@one.test');
      const mark = relay().filter.log.mark;
      const message = await signedSealed();
      const spellings = ['off@one.test', 'OFF@One.Test', 'off+tag@one.test', 'Off+a.b-c@ONE.test'];
      assert.match(await relay().send({ from: author, to: [...spellings, vic], message }), /^250 /);
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, message);
      assert.deepEqual(
        delivery?.to.map(to => to.address),
        [vic],
      );
      const warnings = relay()
        .filter.log.since(mark)
        .filter(line => line.includes('DISABLED'));
      assert.deepEqual(
        warnings.map(line => spellings.findIndex(address => line.startsWith('WARN ') && line.includes(address))),
        [0, 1, 2, 3],
      );
      await relay().judged(1);
    });

    test('mail to DISABLED recipients alone is taken and dropped, readable or not', async () => {
      relay().disable('off@one.test');
      for (const message of [
        await signedSealed(),
        await signedReadable(),
        readable({ from: author }, 'unsigned\r\n'),
      ]) {
        for (const to of [['off@one.test'], ['Off+tag@one.test'], ['off@one.test', 'off+x@one.test']])
          assert.match(await relay().send({ from: author, to, message }), /^250 /);
      }
      await relay().arrived(0);
      await relay().judged(9);
    });
  });
}

describeIncoming('incoming, troubles on the way', {}, (relay, dns) => {
  for (const size of [2_000, 5_000_000]) {
    test(`a client that hangs up after ${size} octets leaves nothing behind`, async () => {
      const { filter, postfix } = relay();
      const [filterMark, postfixMark] = [filter.log.mark, postfix.log.mark];
      const message = sealed({ from: author, size: 2 * size });
      const client = await relay().connect();
      await client.command('EHLO two.test');
      await client.open({ ...toVic, message });
      await client.write(message.subarray(0, size));
      client.abort();
      await postfix.log.find(/postfix\/smtpd\[\d+\]: disconnect from /, postfixMark);

      const next = await signedSealed();
      assert.match(await relay().send({ ...toVic, message: next }), /^250 /);
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, next);
      assert.deepEqual(relay().rejected, []);
      assert.deepEqual(filter.log.since(filterMark), ['INFO Incoming: Filtering encrypted mail.']);
    });
  }

  test('without a DNS server mail is deferred, but for what needs none', async () => {
    await dns()[Symbol.asyncDispose]();
    const own = new Signer('two.test', 'unknown');
    const message = await own.sign(sealed({ from: author }));
    assert.match(await relay().send({ ...toVic, message }), /^451 4\.7\.5 /);
    const readable = await signedReadable();
    assert.match(await relay().send({ ...toVic, message: readable }), /^523 /);
    const unsigned = sealed({ from: author });
    assert.equal(await relay().send({ ...toVic, message: unsigned }), '554 5.7.1 No DKIM signature found');
    await relay().arrived(0);
  });
});

describeIncoming("incoming, with chatmail's cleanup of headers", { main: lmtpCleanup }, relay => {
  test('the mailbox gets the body and the fields that it needs', async () => {
    const from = `From: <${author}>`;
    const message = await signer.sign(sealed({ from: author, extra: ['Chat-Version: 1.0', 'Secure-Join: x'] }));
    assert.match(await relay().send({ ...toVic, message }), /^250 /);
    const [delivery] = await relay().arrived(1);
    const [header = '', body] = halves(delivery?.message);
    assert.equal(body, halves(message)[1]);
    const names = [...header.matchAll(/^([\w-]+):/gm)].map(([, name]) => name);
    // MIME-Version is none of those that the cleanup is asked about.
    assert.deepEqual(names, ['From', 'Subject', 'Date', 'Message-ID', 'MIME-Version', 'Secure-Join', 'Content-Type']);
    assert.ok(header.includes(from));
  });
});

function halves(message: Buffer | undefined): string[] {
  const octets = message?.toString('latin1') ?? '';
  const end = octets.indexOf('\r\n\r\n');
  return [octets.slice(0, end), octets.slice(end + 4)];
}
