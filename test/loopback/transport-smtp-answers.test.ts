// What a remote SMTP server may say, at every stage, in plain text and in TLS: one answer to Postfix, one log line that tells who said what.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Move } from '../deliver/scripted-server.ts';
import type { Talk, TlsStage } from '../peers/tls-smtp-server.ts';
import { plain } from './mail.ts';
import { type Remote, TransportSite } from './transport-site.ts';

let world: TransportSite;
before(async () => {
  world = await TransportSite.start();
});

/** A stage, whether it is one in TLS, what the log calls it. */
type Moment = readonly [stage: TlsStage, isSecure: boolean, phase: string];

const temporary = /^451 4\.(?:4\.[12]|7\.5) /;

const beforeMail: readonly Moment[] = [
  ['greeting', false, 'greeting'],
  ['EHLO', false, 'EHLO'],
  ['STARTTLS', false, 'STARTTLS'],
  ['EHLO', true, 'EHLO'],
];
const inMail: readonly Moment[] = [
  ['MAIL', true, 'MAIL'],
  ['RCPT', true, 'RCPT'],
  ['DATA', true, 'DATA'],
  ['message', true, 'end of data'],
];
const moments = [...beforeMail, ...inMail];

function nameOf([stage, isSecure]: Moment): string {
  return `${stage}${isSecure ? ' in TLS' : ''}`;
}

/** A server that makes this move at that moment. */
async function saying([stage, isSecure]: Moment, move: Move, extensions?: readonly string[]): Promise<Remote> {
  const plan = (now: TlsStage, talk: Talk) => (now === stage && talk.isSecure === isSecure ? move : undefined);
  return await world.remote({ plan, ...(extensions === undefined ? {} : { extensions }) });
}

async function answerOf({ domain }: Remote): Promise<string> {
  return await world.answer(plain('Hello', 'a@one.test', [`u@${domain}`]));
}

/** The log line names host, address and phase, and says how long it took. */
async function assertTold({ domain, host, address }: Remote, phase: string, cause: RegExp): Promise<void> {
  const line = await world.told(domain);
  assert.ok(line.includes(`SMTP: ${host}[${address}]: ${phase}: `), `${phase} is missing in ${line}`);
  assert.match(line, cause);
  assert.match(line, /\(1 to \S+, \d+ octets, \d+\.\d\d s\)$/);
}

const pipelined = undefined;
const stepwise = ['SIZE 31457280', '8BITMIME'];

const nonsense: readonly [name: string, raw: string][] = [
  ['a line without end', `250 ${'x'.repeat(70_000)}`],
  ['10,000 continuation lines', '250-x\r\n'.repeat(10_000)],
  ['continuation lines with another code', '250-x\r\n550 y\r\n'],
  ['1xx', '150 wait\r\n'],
  ['HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
  ['empty lines', '\r\n\r\n'],
  ['NULs', '\0'.repeat(70_000)],
  ['the hangup', ''],
];

for (const [extensions, how] of [
  [pipelined, 'pipelined'],
  [stepwise, 'stepwise'],
] as const) {
  test(`what is no reply is told, and nothing is delivered: ${how}`, async t => {
    for (const moment of moments) {
      for (const [name, raw] of nonsense) {
        await t.test(`${name} at ${nameOf(moment)}`, async () => {
          const remote = await saying(moment, raw === '' ? { and: 'close' } : { raw }, extensions);
          const answer = await answerOf(remote);
          assert.match(answer, temporary);
          assert.ok(answer.includes(remote.host), answer);
          assert.match(await world.told(remote.domain), raw === '' ? /closed/ : /reply too long|not an SMTP reply/);
          await remote.server.until(() => remote.server.open === 0);
          assert.equal(remote.server.messages.length, moment[0] === 'message' ? 1 : 0);
          assert.equal(remote.server.talks.length, 1, 'no second attempt');
        });
      }
    }
  });
}

test('whatever a server says is life: the next message is tried at once', async () => {
  for (const greeting of ['250 hello', '354 hello', '450 4.3.2 not now', '554 5.3.2 never']) {
    const remote = await saying(['greeting', false, 'greeting'], greeting);
    for (const count of [1, 2]) {
      assert.match(await answerOf(remote), /^451 4\.4\.1 \S+: greeting: /, greeting);
      assert.equal(remote.server.talks.length, count, greeting);
    }
  }
});

test('the log and the reply tell in which phase the connection was lost', async t => {
  for (const moment of moments) {
    for (const move of [{ raw: 'HTTP/1.1 400 Bad Request\r\n' }, { and: 'close' }, { and: 'reset' }] as const) {
      // Who is that fast has not even connected.
      if (moment === beforeMail[0] && 'and' in move && move.and === 'reset') continue;
      // A reset can take the answers to the commands before with it.
      if (moment[2] === 'DATA' && 'and' in move && move.and === 'reset') continue;
      await t.test(`${JSON.stringify(move)} at ${nameOf(moment)}`, async () => {
        const remote = await saying(moment, move);
        const answer = await answerOf(remote);
        await assertTold(remote, moment[2], /closed|ECONNRESET|not an SMTP reply/);
        assert.ok(answer.includes(`: ${moment[2]}: `), answer);
      });
    }
  }
});

test('a 354 where a 250 belongs, a 250 where 220 or 354 belongs', async t => {
  for (const moment of moments) {
    for (const reply of ['354 go on', '250 2.0.0 Ok', '220 hello']) {
      const [stage] = moment;
      const isUsual =
        stage === 'greeting' || stage === 'STARTTLS'
          ? reply.startsWith('220')
          : stage === 'DATA'
            ? reply.startsWith('354')
            : !reply.startsWith('354');
      if (isUsual) continue;
      for (const extensions of [pipelined, stepwise]) {
        await t.test(`${reply} at ${nameOf(moment)}${extensions === stepwise ? ', stepwise' : ''}`, async () => {
          const remote = await saying(moment, reply, extensions);
          assert.match(await answerOf(remote), temporary);
          assert.match(await world.told(remote.domain), /unexpected|out of turn|not an SMTP reply/);
          await remote.server.until(() => remote.server.open === 0);
          assert.equal(remote.server.messages.length, stage === 'message' ? 1 : 0);
        });
      }
    }
  }
});

const [greeting, hello, , secondHello] = beforeMail as [Moment, Moment, Moment, Moment];
const [mailFrom, rcptTo, startOfData, endOfData] = inMail as [Moment, Moment, Moment, Moment];

test('an answer before the question, and two answers: nothing is delivered, or once', async t => {
  const spoken: readonly [Moment, string][] = [
    [greeting, '220 hello\r\n250 and more\r\n'],
    [hello, '250-hi\r\n250 STARTTLS\r\n220 go ahead\r\n'],
    [secondHello, '250-hi\r\n250 PIPELINING\r\n250 2.1.0 Ok\r\n'],
    [mailFrom, '250 2.1.0 Ok\r\n250 2.1.0 Ok\r\n'],
    [rcptTo, '250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n'],
    [rcptTo, '250 2.1.5 Ok\r\n354 go\r\n'],
    [startOfData, '354 go\r\n250 2.0.0 Ok\r\n'],
  ];
  for (const extensions of [pipelined, stepwise]) {
    for (const [moment, raw] of spoken) {
      await t.test(
        `${JSON.stringify(raw)} at ${nameOf(moment)}${extensions === stepwise ? ', stepwise' : ''}`,
        async () => {
          const remote = await saying(moment, { raw }, extensions);
          assert.match(await answerOf(remote), temporary);
          await remote.server.until(() => remote.server.open === 0);
          assert.deepEqual(remote.server.messages, []);
        },
      );
    }
  }
  const twice = await saying(endOfData, { raw: '250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n' });
  assert.equal(await answerOf(twice), '250 2.0.0 OK (SMTP)');
  assert.equal(await answerOf(twice), '250 2.0.0 OK (SMTP)');
  assert.deepEqual(
    [twice.server.messages.length, twice.server.talks.length],
    [2, 2],
    'that connection is not used again',
  );
});

test('a refusal that comes before the question bounces nothing', async () => {
  for (const [moment, raw] of [
    [secondHello, '250 hi\r\n550 5.1.1 no\r\n'],
    [mailFrom, '250 2.1.0 Ok\r\n550 5.1.1 no\r\n'],
    [rcptTo, '250 2.1.5 Ok\r\n550 5.1.1 no\r\n'],
  ] as const) {
    const remote = await saying(moment, { raw }, stepwise);
    assert.match(await answerOf(remote), temporary, JSON.stringify(raw));
  }
});

test('a server that says 421 is temporary, whatever the stage, and is asked once', async t => {
  for (const moment of moments) {
    await t.test(nameOf(moment), async () => {
      const remote = await saying(moment, { say: '421 4.3.2 bye', and: 'close' });
      const answer = await answerOf(remote);
      assert.match(answer, /^451 4\.\d\.\d /);
      assert.match(answer, /4\.3\.2 bye/);
      assert.ok(answer.includes(remote.host), answer);
      await assertTold(remote, moment[2], /4\.3\.2 bye/);
      assert.equal(remote.server.talks.length, 1);
    });
  }
});

test('before the mail every refusal is temporary, and so is the last one of all hosts', async () => {
  for (const moment of beforeMail) {
    for (const said of ['450 4.3.0 later', '554 5.3.2 never']) {
      const remote = await saying(moment, said);
      const answer = await answerOf(remote);
      assert.match(answer, /^451 4\./);
      assert.ok(answer.includes(`${remote.host}[${remote.address}]: ${moment[2]}: ${said}`), answer);
      await assertTold(remote, moment[2], new RegExp(said));
    }
  }
});

test('a refusal of the mail keeps its code, and the text tells who said it', async () => {
  for (const moment of inMail) {
    for (const said of ['450 4.2.0 later', '550 5.7.1 never', '552 too much', '451-4.3.0 one\r\n451 4.3.0 two']) {
      const remote = await saying(moment, said);
      assert.equal(await answerOf(remote), `${said} (${remote.host} said)`);
      await assertTold(remote, moment[2], new RegExp(said.split('\r\n')[0]?.replace('-', ' ') ?? ''));
      assert.equal(remote.server.talks.length, 1, 'an answer is final');
    }
  }
});

test('4 KiB lines and control characters in a refusal reach Postfix cleaned and short, with the name of the host', async () => {
  const long = 'y'.repeat(4096);
  for (const moment of inMail) {
    const remote = await saying(moment, `550-5.7.1 ${long}\r\n550 5.7.1 ${long}`);
    const lines = (await answerOf(remote)).split('\r\n');
    assert.ok(lines.every(line => line.length <= 510 && line.startsWith('550')));
    assert.ok(lines.at(-1)?.endsWith(`(${remote.host} said)`), lines.join(' | '));
    const odd = await saying(moment, '550 5.7.1 a\x1b[2Jb\rc\0d\x7f\x85e');
    assert.match(await answerOf(odd), /^550 5\.7\.1 a\?\[2Jb\?c\?d\?[\x85?]e \(\S+ said\)$/);
    assert.match(await world.told(odd.domain), /^WARN [\x20-\x7e]+$/);
  }
});

test('a long answer that takes the mail takes it', async () => {
  for (const moment of [hello, ...inMail.filter(([stage]) => stage !== 'DATA')]) {
    const lines = Array.from({ length: 12 }, (_, n) => `250-${n} ${'z'.repeat(4096)}\r\n`).join('');
    const remote = await saying(moment, { raw: `${lines}250 STARTTLS\r\n` });
    assert.equal(await answerOf(remote), '250 2.0.0 OK (SMTP)', nameOf(moment));
  }
});

test('the process lives and forgets every connection', async () => {
  const remote = await world.remote();
  assert.equal(await answerOf(remote), '250 2.0.0 OK (SMTP)');
  assert.ok(!world.filter.log.all.some(line => line.startsWith('ERROR')));
  await world.filter.stop();
});
