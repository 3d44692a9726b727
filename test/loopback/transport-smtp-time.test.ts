// Remote servers that take their time. The filter's clock runs 60 times as fast as ours, so that its minutes are seconds.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { Plan, TlsStage } from '../peers/tls-smtp-server.ts';
import { DeadHost } from '../system/dead-host.ts';
import { eventually } from './eventually.ts';
import { plain } from './mail.ts';
import { type Remote, TransportSite } from './transport-site.ts';

const haste = 60;
const delivered = '250 2.0.0 OK (SMTP)';

let hasty: TransportSite;
before(async () => {
  hasty = await TransportSite.start({ haste });
});

/** Seconds of the filter's clock until the answer. */
async function timed(work: () => Promise<string>): Promise<{ answer: string; seconds: number }> {
  const began = performance.now();
  const answer = await work();
  return { answer, seconds: ((performance.now() - began) / 1000) * haste };
}

async function silentAt(
  stage: TlsStage,
  isSecure: boolean,
  options: { extensions?: readonly string[] } = {},
): Promise<Remote> {
  const plan: Plan = (now, talk) => (now === stage && talk.isSecure === isSecure ? {} : undefined);
  return await hasty.remote({ plan, ...options });
}

function answerOf({ domain }: Pick<Remote, 'domain'>): Promise<string> {
  return hasty.answer(plain('Hello', 'a@one.test', [`u@${domain}`]));
}

describe('silence', { concurrency: true }, () => {
  for (const [stage, isSecure, phase, least, most] of [
    ['greeting', false, 'greeting', 25, 130],
    ['EHLO', false, 'EHLO', 25, 130],
    ['STARTTLS', false, 'STARTTLS', 25, 130],
    ['EHLO', true, 'EHLO', 25, 130],
    // The commands are pipelined: of three answers two come, and the third is missing.
    ['MAIL', true, 'DATA', 55, 130],
    ['RCPT', true, 'DATA', 55, 130],
    ['DATA', true, 'DATA', 55, 130],
    ['message', true, 'end of data', 290, 360],
  ] as const) {
    test(`at ${stage}${isSecure ? ' in TLS' : ''} ends with 451 in time`, async () => {
      const remote = await silentAt(stage, isSecure);
      const { answer, seconds } = await timed(() => answerOf(remote));
      assert.match(answer, /^451 4\.\d\.\d \S+: [\w ]+: no answer within/);
      assert.ok(seconds > least && seconds < most, `after ${seconds} s`);
      assert.ok((await hasty.told(remote.domain)).includes(`]: ${phase}: no answer`), await hasty.told(remote.domain));
      await eventually(() => assert.equal(remote.server.open, 0));
    });
  }

  test('in the handshake ends with 451 in time', async () => {
    const remote = await hasty.remote();
    remote.server.plan = (stage, talk) => {
      if (stage !== 'STARTTLS') return undefined;
      talk.plain?.do('220 go');
      talk.plain?.socket.removeAllListeners('data').resume();
      return {};
    };
    const { answer, seconds } = await timed(() => answerOf(remote));
    assert.match(answer, /^451 4\.\d\.\d \S+: TLS: no TLS within/);
    assert.ok(seconds > 25 && seconds < 80, `after ${seconds} s`);
  });

  test('at the lone dot delays nobody for long: the answers are known', async () => {
    const plan: Plan = stage => (stage === 'RCPT' ? '550 5.1.1 unknown' : stage === 'message' ? {} : undefined);
    const remote = await hasty.remote({ plan });
    const { answer, seconds } = await timed(() => answerOf(remote));
    assert.match(answer, /^550 5\.1\.1 /);
    assert.ok(seconds < 130, `after ${seconds} s`);
  });

  test('of a reused connection before DATA is no failure: another is made', async () => {
    for (const stage of ['MAIL', 'RCPT', 'DATA'] as const) {
      const remote = await hasty.remote({
        plan: (now, talk) => (now === stage && talk.number === 0 && talk.peer.messages.length === 1 ? {} : undefined),
      });
      assert.equal(await answerOf(remote), delivered);
      assert.equal(await answerOf(remote), delivered, stage);
      assert.equal(remote.server.talks.length, 2);
    }
  });

  test('one octet now and then does not prolong it', async () => {
    const remote = await hasty.remote({ plan: stage => (stage === 'MAIL' ? { raw: '250-' } : undefined) });
    const drip = setInterval(() => remote.server.talks[0]?.tls?.socket.write('x'), 200);
    const { answer, seconds } = await timed(() => answerOf(remote));
    clearInterval(drip);
    assert.match(answer, /^451 4\.4\.2 /);
    assert.ok(seconds < 130, `after ${seconds} s`);
  });

  test('a server that reads no more of the message is given up when no dot may go out any more', async () => {
    const huge = plain('x'.repeat(76).concat('\r\n').repeat(150_000));
    const remote = await hasty.remote({ plan: stage => (stage === 'data' ? { and: 'deaf' } : undefined) });
    const { answer, seconds } = await timed(() => hasty.answer({ ...huge, to: [`u@${remote.domain}`] }));
    assert.match(answer, /^451 4\.4\.[12] /);
    assert.ok(seconds < 300, `after ${seconds} s`);
    for (const { sides } of remote.server.talks) for (const { socket } of sides) socket.resume();
    assert.equal(remote.server.messages.length, 0);
  });

  test('a late answer is an answer', async () => {
    for (const [stage, seconds] of [
      ['greeting', 20],
      ['MAIL', 50],
      ['message', 200],
    ] as const) {
      const remote = await hasty.remote({
        extensions: [],
        plan: (now, talk) => {
          if (now !== stage || (talk.isSecure && now === 'greeting')) return undefined;
          const say = now === 'greeting' ? '220 at last' : '250 2.0.0 at last';
          setTimeout(() => talk.peer.do(say), (seconds / haste) * 1000);
          return {};
        },
      });
      assert.equal(await answerOf(remote), delivered, stage);
    }
  });

  test('in answer to the connection ends after 30 s, then the next host takes the mail', async () => {
    const address = hasty.freeAddress();
    await using _ = await DeadHost.at(address, hasty.smtpPort);
    const good = await hasty.remote();
    hasty.address('dead.hosts.test', address);
    hasty.dns.mx('dead.test', [
      { preference: 1, exchange: 'dead.hosts.test' },
      { preference: 2, exchange: good.host },
    ]);
    const { answer, seconds } = await timed(() => answerOf({ domain: 'dead.test' }));
    assert.equal(answer, delivered);
    assert.ok(seconds > 28 && seconds < 80, `after ${seconds} s`);
    hasty.dns.mx('all-dead.test', [{ preference: 1, exchange: 'dead.hosts.test' }]);
    assert.match(
      await answerOf({ domain: 'all-dead.test' }),
      new RegExp(`^451 4\\.4\\.1 dead\\.hosts\\.test\\[${address}\\]: connect: no answer within 30 s$`),
    );
  });
});

test('the log is whole', async () => {
  await hasty.filter.stop();
});
