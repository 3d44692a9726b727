// The message that arrives is the message that came, octet for octet, however large it is and to however many hosts it goes at once.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { before, test } from 'node:test';
import type { Mail } from './client.ts';
import { TransportSite } from './transport-site.ts';

let world: TransportSite;
before(async () => {
  world = await TransportSite.start();
});

const delivered = '250 2.0.0 OK (SMTP)';
const header = 'From: <a@one.test>\r\nSubject: [...]\r\n\r\n';

/** The wire form without the final dot line. */
function mailOf(text: string, to: readonly string[]): Mail {
  return { from: 'a@one.test', to, wire: Buffer.from(`${text}.\r\n`, 'latin1') };
}

function digestOf(text: string): string {
  return createHash('sha256').update(text, 'latin1').digest('hex');
}

/** About so many octets of lines that differ, some of them dots. */
function long(octets: number): string {
  const lines: string[] = [header];
  for (let length = 0, n = 0; length < octets; n++) {
    const line = n % 50 === 0 ? '..\r\n' : `${n}${n % 7 === 0 ? '...' : ''}${'x'.repeat(n % 131)}\r\n`;
    lines.push(line);
    length += line.length;
  }
  return lines.join('');
}

test('dots, long lines, 8-bit octets and headers of any kind pass as they are', async () => {
  const all = Array.from({ length: 256 }, (_, octet) => octet).filter(octet => ![0, 10, 13].includes(octet));
  for (const [name, text] of [
    ['an empty message', ''],
    ['a blank line', '\r\n'],
    ['dots', `${header}..\r\n...\r\n..a\r\na.\r\n.. \r\n..\t.\r\n`],
    ['all octets', `${header}${String.fromCharCode(...all)}\r\n`],
    ['a line of 100,000 octets', `${header}${'y'.repeat(100_000)}\r\n`],
    ['blank lines at the end', `${header}\r\n\r\n\r\n`],
    ['a folded header', 'Subject: a\r\n\tb\r\n  c\r\nX-Empty:\r\n\r\n'],
  ] as const) {
    const remote = await world.remote();
    assert.equal(await world.answer(mailOf(text, [`u@${remote.domain}`])), delivered, name);
    assert.deepEqual(remote.server.messages, [text], name);
  }
});

test('20 MB, pipelined and stepwise, and once more over the same connection', async () => {
  const text = long(20_000_000);
  for (const extensions of [['PIPELINING', 'SIZE 31457280'], []]) {
    const remote = await world.remote({ extensions });
    const mail = mailOf(text, [`u@${remote.domain}`]);
    assert.equal(await world.answer(mail), delivered);
    assert.equal(await world.answer(mailOf('x: y\r\n\r\n', mail.to)), delivered);
    assert.equal(remote.server.messages.length, 2);
    assert.ok(remote.server.messages[0] === text, 'other octets arrived');
    assert.equal(remote.server.messages[1], 'x: y\r\n\r\n');
    assert.equal(remote.server.talks.length, 1);
    assert.match(await world.told(remote.domain), new RegExp(`, ${text.length} octets, `));
  }
});

test('an answer together with the hangup is an answer', async () => {
  const remote = await world.remote({
    plan: stage => (stage === 'message' ? { say: '250 2.0.0 Ok', and: 'close' } : undefined),
  });
  for (const text of [header, long(500_000)]) {
    assert.equal(await world.answer(mailOf(text, [`u@${remote.domain}`])), delivered);
    assert.equal(remote.server.messages.at(-1), text);
  }
});

test('1,000 recipients, every other one refused: each hears his own', async () => {
  for (const extensions of [['PIPELINING'], []]) {
    const remote = await world.remote({
      extensions,
      plan: (stage, _, line) => (stage === 'RCPT' && /[13579]@/.test(line) ? '550 5.1.1 odd' : undefined),
    });
    const to = Array.from({ length: 1000 }, (_, n) => `${'x'.repeat(40)}${n}@${remote.domain}`);
    const replies = await world.deliver(mailOf(header, to));
    const expected = to.map((_, n) => (n % 2 === 0 ? delivered : `550 5.1.1 odd (${remote.host} said)`));
    assert.deepEqual(replies, expected);
    assert.equal(remote.server.messages.length, 1);
  }
});

test('30 MB to 20 domains at once: one spool, each host gets every octet, below 170 MiB at the most', async () => {
  const remotes = await Promise.all(Array.from({ length: 20 }, () => world.remote({ swallows: true })));
  const text = long(31_000_000);
  const small = await TransportSite.start({ dns: world.dns, authority: world.authority, smtpPort: world.smtpPort });
  const before = small.filter.descriptors().length;
  const replies = await small.deliver(
    mailOf(
      text,
      remotes.map(({ domain }) => `u@${domain}`),
    ),
    { patience: 60_000 },
  );
  assert.deepEqual(new Set(replies), new Set([delivered]));
  const highest = small.filter.memory('VmHWM');
  const digest = digestOf(text);
  assert.deepEqual(
    remotes.map(({ server }) => server.digests),
    remotes.map(() => [digest]),
  );
  assert.ok(highest < 170, `${highest.toFixed(0)} MiB`);
  assert.deepEqual(small.filter.spoolFiles(small.site), [], 'the spool is gone');
  for (const { server } of remotes) await server.close();
  await small.filter.descriptorsBackTo(before);
  await small.filter.stop();
});

test('a host that reads slowly costs no memory and does not keep the others waiting', async () => {
  const fast = await world.remote({ swallows: true });
  let isPaused = false;
  const slow = await world.remote({
    plan: (stage, talk) => {
      if (stage !== 'data' || isPaused) return undefined;
      isPaused = true;
      talk.peer.socket.pause();
      return {};
    },
  });
  const text = long(20_000_000);
  const client = await world.lmtp();
  const to = [`u@${fast.domain}`, `u@${slow.domain}`];
  await client.open({ from: 'a@one.test', to });
  const before = world.filter.memory('VmRSS');
  world.filter.forgetHighest();
  void client.write(mailOf(text, to).wire);
  assert.equal(await client.reply(), delivered);
  assert.deepEqual(fast.server.digests, [digestOf(text)]);
  assert.equal(slow.server.messages.length, 0);
  assert.ok(world.filter.memory('VmHWM') - before < 40, `${before} and then ${world.filter.memory('VmHWM')} MiB`);
  slow.server.talk(0).peer.socket.resume();
  assert.equal(await client.reply(), delivered);
  assert.ok(slow.server.messages[0] === text);
  await client.quit();
});

test('the log is whole', async () => {
  await world.filter.stop();
});
