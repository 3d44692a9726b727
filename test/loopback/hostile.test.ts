// Bad commands, recipients and line ends over the real socket, and what each gets.

import assert from 'node:assert/strict';
import { afterEach, before, describe, test } from 'node:test';
import { otherSpellings } from '../message/spellings.ts';
import { alice, bob, encrypted, plain, raw } from './mail.ts';
import { assertDelivered } from './next-hop.ts';
import { Victim } from './victim.ts';

const readable = '523 Encryption Needed: Invalid Unencrypted Mail';
const badOctets = /^550 5\.6\.0 /;
const taken = /^250 /;

let victim: Victim;

before(async () => {
  victim = await Victim.start({ passthrough_recipients: 'vic@one.test' });
});
describe('command lines', () => {
  afterEach(() => victim.passes());

  const closing: [string, string, RegExp | ''][] = [
    ['of 4097 octets', `NOOP ${'x'.repeat(4097 - 7)}\r\n`, /^500 5\.5\.6 /],
    ['without end', 'x'.repeat(5000), /^500 5\.5\.6 /],
    ['with a bare LF', 'NOOP\n', /^500 /],
    ['with a bare LF in an address', 'MAIL FROM:<a\n@one.test>\r\n', /^500 /],
    ['with a bare CR', 'NO\rOP\r\n', /^500 /],
    ['ended by CR CR LF', 'NOOP\r\r\n', /^500 /],
  ];
  for (const [name, line, expected] of closing) {
    test(`${name}: the connection is closed`, async () => {
      const client = await victim.hello();
      await client.write(line);
      assert.match(await client.reply(), expected || /^$/);
      assert.equal(await client.reply(), '');
      client.end();
      await client.closed;
    });
  }

  const living: [string, string, RegExp][] = [
    ['of 4096 octets', `NOOP ${'x'.repeat(4096 - 7)}`, /^250 /],
    ['empty', '', /^50[0-2] /],
    ['with NUL', 'NO\0OP', /^502 5\.5\.1 /],
    ['with NUL in an address', 'MAIL FROM:<a\0@one.test>', /^501 5\.1\.7 /],
    ['with an escape in a name', 'EHLO \x1b[2J', /^501 5\.5\.4 /],
    ['with an unbalanced quote', 'MAIL FROM:<"a@one.test>', /^501 5\.1\.7 /],
    ['of 8-bit octets', '\xff\xfe\xfd', /^502 5\.5\.1 /],
    ['unknown', 'STARTTLS', /^502 5\.5\.1 /],
    ['BDAT', 'BDAT 5 LAST', /^502 5\.5\.1 /],
    ['HTTP', 'POST / HTTP/1.1', /^502 5\.5\.1 /],
    ['an unknown parameter', 'MAIL FROM:<a@one.test> __proto__=1', /^5(?:01|55) 5\.5\.4 /],
    ['a size over the limit', 'MAIL FROM:<a@one.test> SIZE=31457281', /^552 5\.3\.4 /],
    ['a size beyond all numbers', 'MAIL FROM:<a@one.test> SIZE=99999999999999999999', /^552 5\.3\.4 /],
  ];
  for (const [name, line, expected] of living) {
    test(`${name}: an answer, and on`, async () => {
      const client = await victim.hello();
      assert.match(await client.ask(line), expected);
      assert.match(await client.ask('NOOP'), taken);
      await client.quit();
    });
  }

  test('pipelined behind QUIT: not read', async () => {
    const client = await victim.hello();
    await client.write(
      `QUIT\r\nMAIL FROM:<${alice}>\r\nRCPT TO:<${bob}>\r\nDATA\r\n${encrypted().wire}${'\0'.repeat(100_000)}`,
    );
    assert.match(await client.reply(), /^221 /);
    assert.equal(await client.reply(), '');
    client.end();
    await client.closed;
    assert.deepEqual(victim.hop.take(), []);
  });
});

describe('recipients', () => {
  afterEach(() => victim.passes());

  test('1000 and one more, duplicates among them: all that were taken reach the next hop as they came', async () => {
    const client = await victim.hello();
    const to = Array.from({ length: 1000 }, (_, index) => `r${index % 990}@two.test`);
    await client.ask(`MAIL FROM:<${alice}>`);
    void client.write(to.map(address => `RCPT TO:<${address}>\r\n`).join(''));
    for (const _ of to) assert.match(await client.reply(), taken);
    assert.match(await client.ask('RCPT TO:<more@two.test>'), /^452 4\.5\.3 /);
    assert.match(await client.ask('DATA'), /^354 /);
    const { wire } = encrypted();
    void client.write(wire);
    assert.match(await client.reply(), taken);
    const { commands } = assertDelivered(victim.hop, wire);
    assert.deepEqual(
      commands.filter(line => line.startsWith('RCPT ')),
      to.map(address => `RCPT TO:<${address}>`),
    );
    await client.quit();
  });

  for (const spelling of otherSpellings) {
    test(`unencrypted mail to ${JSON.stringify(spelling)} does not pass as mail to vic`, async () => {
      const client = await victim.hello();
      assert.match(await client.ask(`MAIL FROM:<${alice}>`), taken);
      const reply = await client.ask(`RCPT TO:<${spelling}>`);
      if (reply.startsWith('250 ')) {
        assert.match(await client.ask('DATA'), /^354 /);
        void client.write(plain('Hello\r\n').wire);
        assert.equal(await client.reply(), readable);
      } else assert.match(reply, /^501 5\.(?:1\.3|5\.4) /);
      assert.deepEqual(victim.hop.take(), []);
      await client.quit();
    });
  }

  test('unencrypted mail to vic in capitals does', () =>
    victim.answers(plain('Hello\r\n', alice, ['VIC@One.Test']), taken));
});

describe('line ends and octets in the data', () => {
  afterEach(() => victim.passes());

  const message = 'From: <alice@one.test>\r\nSubject: x\r\n\r\nHello\r\n';
  for (const [name, octets] of [
    ['CR CR LF . CR LF', `${message}a\r\r\n.\r\n`],
    ['LF . CR LF', `${message}a\n.\r\nb\r\n.\r\n`],
    ['LF . LF', `${message}a\n.\nb\r\n.\r\n`],
    ['CR . CR', `${message}a\r.\rb\r\n.\r\n`],
    ['CR LF . CR X', `${message}a\r\n.\rX\r\n.\r\n`],
    ['CR LF . LF', `${message}a\r\n.\nb\r\n.\r\n`],
    ['NUL', `${message}a\0b\r\n.\r\n`],
    ['NUL in the header', `Subject: a\0b\r\n${message}.\r\n`],
    ['bare CR in the header', `Subject: a\rFrom: <eve@one.test>\r\n${message}.\r\n`],
    ['bare LF in the header', `Subject: a\nFrom: <eve@one.test>\r\n${message}.\r\n`],
    ['bare CR as the last octet', `${message}a\r\r\n.\r\n`],
  ] as const) {
    test(`${name}: read to the true end and refused`, () => victim.answers(raw(octets), badOctets));
  }

  test('smuggling: what follows a false end is data, not commands', async () => {
    const client = await victim.hello();
    await client.open({ from: alice, to: [bob] });
    const inner = `MAIL FROM:<eve@one.test>\r\nRCPT TO:<${bob}>\r\nDATA\r\n${encrypted({ from: 'eve@one.test' }).wire}`;
    await client.write(`${message}\n.\r\n${inner}`);
    assert.match(await client.reply(), badOctets);
    assert.match(await client.ask('NOOP'), taken);
    assert.deepEqual(victim.hop.take(), []);
    await client.quit();
  });
});

test('after all of it, the process is as good as new', () => victim.unharmed());
