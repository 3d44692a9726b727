// Messages at and over the size limit, in octets after dot-unescaping.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Mail } from './client.ts';
import { encrypted, written } from './mail.ts';
import { Victim } from './victim.ts';

const limit = 31_457_280;
const tooLarge = '552 5.3.4 Message exceeds maximum size';

let victim: Victim;

before(async () => {
  victim = await Victim.start({ passthrough_senders: 'free@one.test' });
});

/** A message of that many octets, its body made of one line again and again, or of one long line. */
function sized(octets: number, line: string): Mail {
  const header = 'From: <free@one.test>\r\n\r\n';
  const room = octets - header.length;
  const lines = line === '' ? 0 : Math.floor(room / line.length) - 1;
  const rest = 'x'.repeat(room - lines * line.length - 2);
  return written(`${header}${line.repeat(lines)}${rest}\r\n`, 'free@one.test');
}

const text = `${'t'.repeat(76)}\r\n`;

test('exactly the limit passes', () => victim.answers(sized(limit, text), /^250 /, 10_000));

test('one octet more does not', () => victim.answers(sized(limit + 1, text), tooLarge, 10_000));

test('the limit counts unescaped octets: a third more on the wire passes', async () => {
  const mail = sized(limit, '.\r\n');
  assert.ok(mail.wire.length > 1.3 * limit);
  await victim.answers(mail, /^250 /, 20_000);
});

test('one octet more of dots does not', () => victim.answers(sized(limit + 1, '.\r\n'), tooLarge, 20_000));

test('one line of the whole size passes', () => victim.answers(sized(limit, ''), /^250 /, 10_000));

test('100 MB are read to their end; the messages behind them, pipelined, are answered each on its own', async () => {
  const client = await victim.hello();
  const good = encrypted({ from: 'next@one.test' });
  const opening = `MAIL FROM:<next@one.test>\r\nRCPT TO:<bob@two.test>\r\nDATA\r\n`;
  assert.match(await client.open({ from: 'free@one.test', to: ['bob@two.test'] }), /^354 /);
  void client.write(sized(100_000_000, text).wire);
  void client.write(`${opening}${good.wire}${opening}${sized(40_000_000, '\r\n').wire}${opening}${good.wire}`);
  assert.equal(await client.reply(), tooLarge);
  for (const expected of [/^250 /, tooLarge, /^250 /]) {
    for (const reply of [/^250 /, /^250 /, /^354 /]) assert.match(await client.reply(), reply);
    const answer = await client.reply();
    if (typeof expected === 'string') assert.equal(answer, expected);
    else assert.match(answer, expected);
  }
  await client.quit();
  assert.deepEqual(
    victim.hop.take().map(({ length }) => length),
    [good.wire.length - 3, good.wire.length - 3],
  );
});

test('SIZE: the limit is taken, one more is refused at once', async () => {
  const client = await victim.hello();
  assert.match(await client.ask(`MAIL FROM:<free@one.test> SIZE=${limit + 1}`), /^552 5\.3\.4 /);
  assert.match(await client.ask(`MAIL FROM:<free@one.test> SIZE=${limit}`), /^250 /);
  await client.quit();
});

test('after all of it, the process is as good as new', () => victim.unharmed());
