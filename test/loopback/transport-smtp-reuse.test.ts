// Connections that serve several messages: when they are used again, when they turn out stale, when they are closed.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Move } from '../deliver/scripted-server.ts';
import type { TlsStage } from '../peers/tls-smtp-server.ts';
import { eventually } from './eventually.ts';
import { plain } from './mail.ts';
import { deliverOver, type Remote, TransportSite } from './transport-site.ts';

let world: TransportSite;
before(async () => {
  world = await TransportSite.start();
});

const delivered = '250 2.0.0 OK (SMTP)';

async function answerOf({ domain }: Remote, names = ['u']): Promise<string> {
  const [reply = ''] = await world.deliver(
    plain(
      'Hello',
      'a@one.test',
      names.map(name => `${name}@${domain}`),
    ),
  );
  return reply;
}

test('one TLS connection serves messages one after the other, those of other domains with that MX too', async () => {
  const remote = await world.remote();
  world.dns.mx('other-domain.test', [{ preference: 10, exchange: remote.host.toUpperCase() }]);
  const client = await world.lmtp();
  for (const domain of [remote.domain, 'other-domain.test', remote.domain, 'other-domain.test']) {
    assert.deepEqual(await deliverOver(client, plain('Hello', 'a@one.test', [`u@${domain}`])), [delivered]);
  }
  await client.quit();
  assert.deepEqual([remote.server.talks.length, remote.server.messages.length], [1, 4]);
  assert.doesNotMatch(remote.server.talk(0).verbs, /QUIT/);
});

test('a connection goes on after a recipient was refused, and after a refused message', async () => {
  const remote = await world.remote({
    plan: (stage, talk, line) => {
      if (stage === 'RCPT' && line.includes('<no@')) return '550 5.1.1 unknown';
      if (stage === 'message' && talk.peer.messages.length === 2) return '550 5.7.1 spam';
      return undefined;
    },
  });
  const names = ['u', 'no'];
  assert.equal(await answerOf(remote, names), delivered);
  assert.match(await answerOf(remote), /^550 5\.7\.1 /);
  assert.equal(await answerOf(remote), delivered);
  assert.ok(remote.server.talks.length <= 2);
  assert.equal(remote.server.messages.length, 3);
});

const whileIdle: readonly [name: string, move: Move][] = [
  ['the end', { and: 'close' }],
  ['421', { say: '421 4.4.2 idle for too long', and: 'close' }],
  ['421 without the end', '421 4.4.2 idle for too long'],
  ['a reset', { and: 'reset' }],
  ['nonsense', 'hello?'],
];

for (const [name, move] of whileIdle) {
  test(`a connection that is stale is replaced silently: ${name} while it is idle`, async () => {
    const remote = await world.remote();
    assert.equal(await answerOf(remote), delivered);
    const mark = world.filter.log.mark;
    remote.server.talk(0).peer.do(move);
    assert.equal(await answerOf(remote), delivered);
    assert.equal(await answerOf(remote), delivered);
    assert.deepEqual([remote.server.talks.length, remote.server.messages.length], [2, 3]);
    assert.match(await world.told(remote.domain, mark), /^INFO .* sent by SMTP/);
    await eventually(() => assert.ok(remote.server.talk(0).closed));
  });
}

for (const stage of ['MAIL', 'RCPT', 'DATA'] as const) {
  for (const [name, move] of [
    ['the end', { and: 'close' }],
    ['421', { say: '421 4.4.2 too late', and: 'close' }],
    ['421 without the end', '421 4.4.2 too late'],
    ['a reset', { and: 'reset' }],
  ] as const) {
    for (const extensions of [['PIPELINING'], []]) {
      test(`a reused connection that answers ${stage} with ${name} is replaced silently${extensions.length ? '' : ', stepwise'}`, async () => {
        const remote = await world.remote({
          extensions,
          plan: (now, talk) =>
            now === stage && talk.number === 0 && talk.peer.messages.length === 1 ? move : undefined,
        });
        assert.equal(await answerOf(remote), delivered);
        assert.equal(await answerOf(remote), delivered);
        const messages = remote.server.messages.filter(message => message !== '');
        assert.deepEqual([remote.server.talks.length, messages.length], [2, 2]);
      });
    }
  }
}

test('a reused connection that is lost with the message is not replaced: it may have arrived', async () => {
  for (const move of [{ and: 'close' }, { say: '421 4.3.2 bye', and: 'close' }] as const) {
    const remote = await world.remote({
      plan: (stage, talk) => (stage === 'message' && talk.peer.messages.length === 2 ? move : undefined),
    });
    assert.equal(await answerOf(remote), delivered);
    assert.match(await answerOf(remote), /^451 4\./);
    assert.deepEqual([remote.server.talks.length, remote.server.messages.length], [1, 2]);
    assert.equal(await answerOf(remote), delivered, 'and the next message finds its way');
  }
});

test('a server that is stale each time is no endless loop', async () => {
  const remote = await world.remote({
    plan: (stage, talk) => {
      if (stage !== 'MAIL' || (talk.number === 0 && talk.peer.messages.length === 0)) return undefined;
      return { say: '421 4.3.2 bye', and: 'close' };
    },
  });
  assert.equal(await answerOf(remote), delivered);
  assert.equal(await answerOf(remote), `451 4.3.2 bye (${remote.host} said)`);
  assert.equal(remote.server.talks.length, 2);
});

test('sessions of TLS are resumed', async () => {
  for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
    const remote = await world.remote({ maxVersion });
    for (const number of [0, 1, 2]) {
      assert.equal(await answerOf(remote), delivered);
      remote.server.talk(number).peer.do({ and: 'close' });
      await remote.server.until(() => remote.server.open === 0);
    }
    assert.deepEqual(
      remote.server.talks.map(({ resumed }) => resumed),
      [false, true, true],
      maxVersion,
    );
  }
});

test('at most 4 messages are on their way to one destination at once; the others wait and follow on the same connections', async () => {
  const held: (() => void)[] = [];
  let isHolding = true;
  const remote = await world.remote({
    plan: (stage: TlsStage, talk) => {
      if (stage !== 'message' || !isHolding) return undefined;
      held.push(() => talk.peer.do('250 2.0.0 Ok'));
      return {};
    },
  });
  const answers = Array.from({ length: 12 }, () => answerOf(remote));
  await remote.server.until(() => held.length === 4);
  const other = await world.remote();
  assert.equal(await answerOf(other), delivered, 'another destination is not held up');
  assert.deepEqual([remote.server.talks.length, held.length], [4, 4]);
  isHolding = false;
  for (const go of held) go();
  assert.deepEqual(new Set(await Promise.all(answers)), new Set([delivered]));
  assert.deepEqual([remote.server.talks.length, remote.server.messages.length], [4, 12]);
});

test('idle connections are closed after a minute, with QUIT; none outlives the process', async () => {
  const hasty = await TransportSite.start({ haste: 60 });
  const remote = await hasty.remote();
  const mail = plain('Hello', 'a@one.test', [`u@${remote.domain}`]);
  const before = hasty.filter.descriptors().length;
  assert.equal(await hasty.answer(mail), delivered);
  const began = performance.now();
  await remote.server.until(() => remote.server.open === 0);
  const took = performance.now() - began;
  assert.ok(took > 900 && took < 3000, `after ${took} ms`);
  assert.match(remote.server.talk(0).verbs, /QUIT$/);
  await hasty.filter.descriptorsBackTo(before);
  assert.equal(await hasty.answer(mail), delivered);
  await hasty.filter.stop();
  await remote.server.until(() => remote.server.open === 0);
});

test('a server that never hangs up in return keeps no descriptor', async () => {
  const hasty = await TransportSite.start({ haste: 60 });
  const remote = await hasty.remote({ plan: stage => (stage === 'QUIT' ? { and: 'deaf' } : undefined) });
  const before = hasty.filter.descriptors().length;
  assert.equal(await hasty.answer(plain('Hello', 'a@one.test', [`u@${remote.domain}`])), delivered);
  await hasty.filter.descriptorsBackTo(before);
  await hasty.filter.stop();
});

test('no descriptor is left when every connection has come to its end', async () => {
  await world.filter.stop();
});
