// The outgoing filter between Postfix's two smtpds, in each of the ways they are set up.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Mail } from './client.ts';
import { sealed } from './mail.ts';
import { refuse, speedAdjust, xforward } from './postfix-setup.ts';
import { assertIntact, type Choices, describeRelay } from './relay.ts';
import { assertParameters } from './sink.ts';

const refusing = refuse({
  'gone@two.test': '550 5.1.1 No such user here',
  'later@two.test': '450 4.2.0 Try again later',
});

const setups: Record<string, Choices> = {
  'reinject smtpd without XFORWARD': { reinject: [refusing] },
  'reinject smtpd with XFORWARD': { reinject: [refusing, xforward] },
  speed_adjust: { reinject: [refusing, xforward], entry: [speedAdjust] },
};

const folder = new URL('../messages/outgoing/', import.meta.url);

const encrypted = [
  '09-outgoing-text',
  '18-outgoing-post-message-jpg',
  '29-outgoing-securejoin-vg-member-added',
  '51-outgoing-securejoin-vc-request-cleartext',
  '53-outgoing-securejoin-vc-auth-required',
];

/** What Delta Chat sent, with its envelope. */
function real(name: string): Mail {
  const { mailFrom, rcptTo } = JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8'));
  return { from: mailFrom, to: rcptTo, message: readFileSync(new URL(`${name}.eml`, folder)) };
}

for (const [name, choices] of Object.entries(setups)) {
  describeRelay(`outgoing, ${name}`, choices, relay => {
    for (const name of encrypted) {
      test(`${name} passes`, async () => {
        const mail = real(name);
        assert.match(await relay().send(mail), /^250 2\.0\.0 Ok: queued as /);
        const [delivery] = await relay().arrived(1);
        assertIntact(delivery, mail.message);
        assert.deepEqual(
          [delivery?.from.address, delivery?.to.map(to => to.address).sort()],
          [mail.from, [...mail.to].sort()],
        );
        assert.deepEqual(await relay().judged(1), ['INFO Outgoing: Filtering encrypted mail.']);
      });
    }

    test('a readable message is refused', async () => {
      const mail = real('67-outgoing-text-cleartext');
      assert.equal(await relay().send(mail), '523 Encryption Needed: Invalid Unencrypted Mail');
      await relay().arrived(0);
      assert.deepEqual(await relay().judged(2), [
        'INFO Outgoing: Filtering unencrypted mail.',
        `WARN Rejected unencrypted mail from: ${mail.from}`,
      ]);
    });

    test('a forged From is refused', async () => {
      const mail = { from: 'mallory@one.test', to: ['bob@two.test'], message: sealed({ from: 'alice@one.test' }) };
      assert.equal(await relay().send(mail), '500 5.7.1 Invalid FROM <alice@one.test> for <mallory@one.test>');
      await relay().arrived(0);
      await relay().judged(1);
    });

    test('a burst over the limit is refused, and its connection stays usable', async () => {
      const mail = { from: 'flood@one.test', to: ['bob@two.test'], message: sealed({ from: 'flood@one.test' }) };
      const client = await relay().connect();
      await client.command('EHLO client.test');
      for (let sent = 0; sent < 10; sent++) assert.match(await client.transaction(mail), /^250 /);
      assert.match(
        await client.transaction(mail),
        /^450 4\.7\.1: Too much mail from <flood@one\.test>, retry in \d+ s$/,
      );
      await client.command('RSET');
      const other = { ...mail, from: 'calm@one.test', message: sealed({ from: 'calm@one.test' }) };
      assert.match(await client.transaction(other), /^250 /);
      await client.quit();
      await relay().arrived(11);
      await relay().judged(11);
    });

    for (const [address, reply] of [
      ['gone@two.test', /^550 5\.1\.1 <gone@two\.test>: Recipient address rejected: No such user here$/],
      ['later@two.test', /^450 4\.2\.0 <later@two\.test>: Recipient address rejected: Try again later$/],
    ] as const) {
      test(`when Postfix refuses ${address}, one of three, nobody gets the message`, async () => {
        const from = 'three@one.test';
        const mail = { from, to: ['bob@two.test', address, 'carol@two.test'], message: sealed({ from }) };
        assert.match(await relay().send(mail), reply);
        await relay().arrived(0);
        await relay().judged(1);
      });
    }

    for (const [size, octets] of [
      ['small', 2_000],
      ['large', 5_000_000],
    ] as const) {
      test(`a client that hangs up in the middle of a ${size} message leaves nothing behind`, async () => {
        const from = `abort-${size}@one.test`;
        const mail = { from, to: ['bob@two.test'], message: sealed({ from, size: 2 * octets }) };
        const { filter, postfix } = relay();
        const [filterMark, postfixMark] = [filter.log.mark, postfix.log.mark];

        const client = await relay().connect();
        await client.command('EHLO client.test');
        await client.open(mail);
        await client.write(mail.message.subarray(0, octets));
        client.abort();
        await postfix.log.find(/submission\/smtpd\[\d+\]: disconnect from /, postfixMark);

        // What comes after it is served as ever, and is all that arrives.
        const next = { ...mail, message: sealed({ from }) };
        assert.match(await relay().send(next), /^250 /);
        const [delivery] = await relay().arrived(1);
        assertIntact(delivery, next.message);
        await relay().judged(1);
        assert.deepEqual(
          filter.log.since(filterMark).filter(line => /^ERROR/.test(line) || line.includes(from)),
          [],
        );
      });
    }

    test('DSN parameters reach the next hop', async () => {
      const from = 'dsn@one.test';
      const mail: Mail = {
        from,
        to: ['bob@two.test', 'Carol+tag@two.test'],
        message: sealed({ from }),
        mailParameters: 'RET=HDRS ENVID=QQ+2B314159',
        rcptParameters: to =>
          to === 'bob@two.test' ? 'NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Robert+2Bx@two.test' : 'NOTIFY=NEVER',
      };
      assert.match(await relay().send(mail), /^250 /);
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, mail.message);
      assertParameters(delivery?.from, ['ENVID=QQ+2B314159', 'RET=HDRS']);
      const to = (address: string) => delivery?.to.find(recipient => recipient.address === address);
      await relay().judged(1);
      // Postfix fills in the ORCPT that the second one lacks.
      assertParameters(to('bob@two.test'), ['NOTIFY=SUCCESS,DELAY', 'ORCPT=rfc822;Robert+2Bx@two.test']);
      assertParameters(to('Carol+tag@two.test'), ['NOTIFY=NEVER', 'ORCPT=rfc822;Carol+2Btag@two.test']);
    });
  });
}
