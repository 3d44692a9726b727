// Postfix refuses: its code and text are the answer, and nobody gets the message.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatReply } from '../../src/wire/reply.ts';
import { bench, pipeliningOrNot, unavailable, usual } from './delivery.ts';
import type { Move, Script, Stage } from './scripted-server.ts';

const xforward = [{ name: 'NAME', value: 'x' }];
const stages: readonly Stage[] = ['greeting', 'EHLO', 'MAIL', 'RCPT', 'DATA', 'message'];

function at(stage: Stage, move: Move): Script {
  return now => (now === stage ? move : undefined);
}

test('a refusal of the mail is the answer, one of the connection is temporary; it is not used again', async t => {
  for (const [name, extensions] of pipeliningOrNot) {
    for (const stage of stages) {
      for (const lines of ['450 4.2.0 later', '550-5.7.1 one\r\n550 5.7.1 two', '599 odd', '552 5.3.4 \xa0']) {
        const { server, deliver } = await opened(t, at(stage, lines), extensions);
        const { answer, failure } = await deliver({ xforward, to: ['c@d', 'e@f'] });
        const ofTheMail = stage !== 'greeting' && stage !== 'EHLO';
        assert.equal(formatReply(answer), ofTheMail ? `${lines}\r\n` : unavailable, `${stage}, ${name}`);
        assert.ok(failure?.includes(lines.slice(0, 3)), failure ?? 'no failure');
        assert.equal(server.messages.length, stage === 'message' ? 1 : 0);
        server.script = usual;
        assert.equal((await deliver()).answer.code, 250);
        assert.equal(server.peers.length, 2, `${stage}, ${name}`);
      }
    }
  }
});

test('a refused XFORWARD costs a log line its client, not the user the mail', async t => {
  for (const [name, extensions] of pipeliningOrNot) {
    for (const lines of ['550 5.7.0 insufficient authorization', '450-4.0.0 a\r\n450 4.0.0 b']) {
      const { server, deliver } = await opened(t, at('XFORWARD', lines), extensions);
      for (const turn of [1, 2]) {
        const { answer, failure } = await deliver({ xforward });
        assert.deepEqual([answer.code, failure, server.messages.length], [250, null, turn], name);
      }
    }
  }
});

test('one refused recipient of three: its reply is the answer, whichever it is', async t => {
  for (const [, extensions] of pipeliningOrNot) {
    for (const refused of ['one@d', 'two@d', 'three@d']) {
      const script: Script = (_stage, _peer, line) =>
        line.includes(`<${refused}>`) ? `550 5.1.1 no ${refused}` : undefined;
      const { server, deliver } = await opened(t, script, extensions);
      const { answer } = await deliver({ to: ['one@d', 'two@d', 'three@d'] });
      assert.equal(formatReply(answer), `550 5.1.1 no ${refused}\r\n`);
      await server.until(() => server.open === 0);
      assert.deepEqual(server.messages, []);
    }
  }
});

test('of several refusals the first is the answer', async t => {
  const script: Script = (stage, _peer, line) => (stage === 'RCPT' ? `550 5.1.1 no ${line.slice(8)}` : undefined);
  for (const [, extensions] of pipeliningOrNot) {
    const { server, answer } = await opened(t, script, extensions);
    assert.equal(await answer({ to: ['one@d', 'two@d'] }), '550 5.1.1 no <one@d>\r\n');
    server.script = (stage, peer, line) => (stage === 'MAIL' ? '452 4.3.1 full' : script(stage, peer, line));
    assert.equal(await answer({ to: ['one@d', 'two@d'] }), '452 4.3.1 full\r\n');
  }
});

test('a refused recipient and a pipelined 354: the connection is dropped without a dot', async t => {
  for (const wire of ['x\r\n', `${'x'.repeat(2_000_000)}\r\n`]) {
    const script: Script = (_stage, _peer, line) => (line.includes('<no@d>') ? '550 5.1.1 no' : undefined);
    const { server, answer } = await opened(t, script);
    assert.equal(await answer({ to: ['c@d', 'no@d', 'e@f'], wire }), '550 5.1.1 no\r\n');
    await server.until(() => server.open === 0);
    const peer = server.peer(0);
    assert.equal(peer.verbs, 'EHLO MAIL RCPT RCPT RCPT DATA');
    assert.deepEqual([peer.messages, peer.pending], [[], 0]);
  }
});

test('one by one, nothing is said behind a refusal but QUIT', async t => {
  for (const [stage, verbs] of [
    ['MAIL', 'EHLO XFORWARD MAIL'],
    ['RCPT', 'EHLO XFORWARD MAIL RCPT'],
    ['DATA', 'EHLO XFORWARD MAIL RCPT RCPT DATA'],
  ] as const) {
    const script: Script = (now, _peer, line) =>
      now === stage && (stage !== 'RCPT' || line.includes('c@d')) ? '550 5.7.1 no' : undefined;
    const { server, answer } = await opened(t, script, pipeliningOrNot[1][1]);
    assert.equal(await answer({ xforward, to: ['c@d', 'e@f'] }), '550 5.7.1 no\r\n');
    await server.until(() => server.open === 0);
    assert.equal(server.peer(0).verbs.replace(/ QUIT$/, ''), verbs);
  }
});

test('a refused message ends the connection with QUIT', async t => {
  const { server, answer } = await opened(t, at('message', '554 5.7.1 no'));
  await answer();
  await server.until(() => server.open === 0);
  assert.equal(server.peer(0).verbs, 'EHLO MAIL RCPT DATA QUIT');
});

test('421 at any stage of a new connection is 451, whether or not the server hangs up with it', async t => {
  for (const [name, extensions] of pipeliningOrNot) {
    for (const stage of ['XFORWARD', ...stages] as const) {
      for (const move of ['421 4.3.2 shutting down', { say: '421 4.3.2 shutting down', and: 'close' }] as const) {
        // Who goes on behind 421 may have the mail.
        if (stage === 'XFORWARD' && typeof move === 'string') continue;
        const { server, answer } = await opened(t, at(stage, move), extensions);
        assert.match(await answer({ xforward }), /^451 4\.3\.2 [^\r\n]+\r\n$/, `${stage}, ${name}`);
        assert.equal(server.peers.length, 1, 'a new connection is not stale');
      }
    }
  }
});

test('a refusal stays the answer when the server hangs up behind it', async t => {
  const hangUp = (say: string): Move => ({ say, and: 'close' });
  const cases: [name: string, script: Script, answer: string][] = [
    ['MAIL', at('MAIL', hangUp('550 5.7.1 go away')), '550 5.7.1 go away\r\n'],
    ['RCPT', at('RCPT', hangUp('550 5.1.1 no')), '550 5.1.1 no\r\n'],
    ['DATA', at('DATA', hangUp('554 5.5.1 no')), '554 5.5.1 no\r\n'],
    ['message', at('message', hangUp('554 5.7.1 no')), '554 5.7.1 no\r\n'],
    // Postfix so ends a session with too many errors (smtpd_hard_error_limit).
    [
      '421 behind refusals',
      (stage, { verbs }) => {
        if (stage !== 'RCPT') return undefined;
        return verbs.split('RCPT').length <= 20 ? '550 5.1.1 no' : hangUp('421 4.7.0 Error: too many errors');
      },
      '550 5.1.1 no\r\n',
    ],
  ];
  for (const [how, extensions] of pipeliningOrNot) {
    for (const [name, script, expected] of cases) {
      await t.test(`${name}, ${how}`, async t => {
        const { answer } = await opened(t, script, extensions);
        const to = Array.from({ length: 30 }, (_, n) => `r${n}@d`);
        assert.equal(await answer({ to }), expected);
      });
    }
  }
});

test('only 220 greets, only 354 starts the data, only 2xx takes: what else is said delivers nothing and says so', async t => {
  const cases: [stage: Stage, reply: string][] = [
    ['greeting', '250 hello'],
    ['greeting', '221 bye'],
    ['greeting', '354 go on'],
    ['EHLO', '354 go on'],
    ['MAIL', '354 go on'],
    ['RCPT', '354 go on'],
    ['DATA', '250 Ok'],
    ['DATA', '334 '],
    ['message', '354 go on'],
    ['message', '334 '],
  ];
  for (const [how, extensions] of pipeliningOrNot) {
    for (const [stage, reply] of cases) {
      await t.test(`${reply} at ${stage}, ${how}`, async t => {
        const { server, answer } = await opened(t, at(stage, reply), extensions);
        assert.match(await answer(), /^451 4\.3\.2 [^\r\n]+\r\n$/);
        if (stage !== 'message') assert.deepEqual(server.messages, []);
        await server.until(() => server.open === 0);
      });
    }
  }
});

test('any 2xx takes', async t => {
  const script: Script = stage =>
    stage === 'RCPT' ? '251 2.1.5 will forward' : stage === 'message' ? '200 ok' : undefined;
  const { answer } = await opened(t, script);
  assert.equal(await answer(), '200 ok\r\n');
  assert.equal(await answer(), '200 ok\r\n');
});

async function opened(t: test.TestContext, script: Script, extensions?: readonly string[]) {
  const made = await bench(t, script, extensions);
  return { server: made.server, deliver: made.deliver.bind(made), answer: made.answer.bind(made) };
}
