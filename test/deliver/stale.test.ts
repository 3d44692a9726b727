// A pooled connection that went stale is replaced silently, up to DATA; a new one and a message that has begun are not tried again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bench, pipeliningOrNot, unavailable, usual } from './delivery.ts';
import type { Move, Script, Stage } from './scripted-server.ts';

const taken = /^250 2\.0\.0 Ok/;
const endings: [name: string, move: Move][] = [
  ['EOF', { and: 'close' }],
  ['RST', { and: 'reset' }],
  ['421', '421 4.4.2 timeout'],
  ['421 and EOF', { say: '421 4.4.2 timeout', and: 'close' }],
  ['421 and RST', { say: '421 4.4.2 timeout', and: 'reset' }],
  ['half a reply and EOF', { raw: '250-2.0', and: 'close' }],
  ['no reply at all', 'what?'],
];

/** The stage fails on the first connection, once it has served a message. */
function staleAt(stage: Stage, move: Move): Script {
  return (now, peer) => (now === stage && peer.number === 0 && peer.messages.length > 0 ? move : undefined);
}

test('found out at a command: the mail goes over a new connection, once', async t => {
  for (const [how, extensions] of pipeliningOrNot) {
    for (const stage of ['XFORWARD', 'MAIL', 'RCPT', 'DATA'] as const) {
      for (const [name, move] of endings) {
        // A refused XFORWARD is passed over; who goes on behind 421 may have the mail.
        if (stage === 'XFORWARD' && name === '421') continue;
        await t.test(`${name} at ${stage}, ${how}`, async t => {
          const { server, deliver } = await opened(t, staleAt(stage, move), extensions);
          const xforward = [{ name: 'NAME', value: 'x' }];
          assert.equal((await deliver({ wire: 'one\r\n' })).failure, null);
          const { answer, failure } = await deliver({ wire: 'two\r\n', xforward, to: ['c@d', 'e@f'] });
          assert.deepEqual([answer.code, failure], [250, null]);
          assert.equal(server.peers.length, 2);
          assert.deepEqual([server.peer(0).messages, server.peer(0).pending], [['one\r\n'], 0]);
          assert.deepEqual(server.peer(1).messages, ['two\r\n']);
          assert.equal(server.peer(1).verbs, 'EHLO XFORWARD MAIL RCPT RCPT DATA');
          await server.until(() => server.peer(0).closed);
        });
      }
    }
  }
});

test('found out while idle: the connection is dropped, the next mail goes over a new one', async t => {
  for (const [name, move] of endings) {
    await t.test(name, async t => {
      const { server, answer } = await opened(t);
      assert.match(await answer(), taken);
      const idle = server.peer(0);
      idle.do(move);
      if (typeof move === 'object') await server.until(() => idle.closed);
      assert.match(await answer(), taken);
      await server.until(() => idle.closed);
      // What was said while idle is never taken for an answer to a command.
      assert.equal(idle.messages.length + server.peer(1).messages.length, 2);
      assert.match(await answer(), taken);
      assert.equal(server.peers.length, 2);
    });
  }
});

test('a connection that speaks out of turn while idle is dropped at once: it could speak without end', async t => {
  for (const said of ['250 2.0.0 Ok\r\n', '550 5.7.1 no\r\n', '250-half', '2']) {
    await t.test(JSON.stringify(said), { timeout: 2000 }, async t => {
      t.mock.timers.enable({ apis: ['setTimeout'] }); // it is not the idle time that ends it
      const { server, answer } = await opened(t);
      assert.match(await answer(), taken);
      const idle = server.peer(0);
      idle.do({ raw: said });
      await server.until(() => idle.closed);
      assert.match(await answer(), taken);
      assert.equal(server.messages.length, 2);
    });
  }
});

test('said out of turn right behind the answer to a message: the connection is not used again', async t => {
  for (const more of ['250 2.0.0 Ok\r\n', '421 4.4.2 bye\r\n', '25', 'junk\r\n']) {
    const { server, answer } = await opened(t, (stage, peer) =>
      stage === 'message' && peer.number === 0 ? { raw: `250 2.0.0 Ok\r\n${more}` } : undefined,
    );
    assert.match(await answer(), taken);
    assert.match(await answer(), taken);
    assert.deepEqual(
      server.peers.map(({ messages }) => messages.length),
      [1, 1],
      more,
    );
  }
});

test('several stale connections', async t => {
  for (const [name, move] of endings) {
    await t.test(name, async t => {
      const made = await bench(t);
      const { server } = made;
      await made.idleConnections(5);
      server.script = (stage, peer) => (stage === 'MAIL' && peer.number < 5 ? move : undefined);
      const wires = Array.from({ length: 8 }, (_, n) => `later ${n}\r\n`);
      const answers = await Promise.all(wires.map(wire => made.answer({ wire })));
      for (const answer of answers) assert.match(answer, taken);
      const later = server.peers.slice(5).flatMap(({ messages }) => messages);
      assert.deepEqual(later.sort(), wires);
    });
  }
});

test('several stale connections, one mail: it is delivered at once', async t => {
  const made = await bench(t);
  const { server } = made;
  await made.idleConnections(5);
  for (const peer of server.peers) peer.do({ and: 'reset' });
  await server.until(() => server.open === 0);
  assert.match(await made.answer(), taken);
  assert.equal(server.peers.length, 6);
});

test('the new connection fails too: 451, and no third is tried', async t => {
  const dead: Script = (stage, peer) =>
    stage === 'MAIL' && peer.messages.length + peer.number > 0 ? { and: 'close' } : undefined;
  const { server, answer } = await opened(t, dead);
  assert.match(await answer(), taken);
  assert.equal(await answer(), unavailable);
  assert.equal(server.peers.length, 2);
});

test('a new connection that fails is not stale', async t => {
  for (const stage of ['greeting', 'EHLO', 'MAIL', 'RCPT', 'DATA'] as const) {
    for (const move of [{ and: 'close' }, { and: 'reset' }] as const) {
      const { server, answer } = await opened(t, now => (now === stage ? move : undefined));
      assert.equal(await answer(), unavailable);
      assert.equal(server.peers.length, 1, stage);
    }
  }
});

test('a refusal on a reused connection is an answer', async t => {
  for (const stage of ['MAIL', 'RCPT', 'DATA', 'message'] as const) {
    const { server, answer } = await opened(t);
    assert.match(await answer(), taken);
    server.script = now => (now === stage ? '550 5.7.1 no' : undefined);
    assert.equal(await answer(), '550 5.7.1 no\r\n');
    assert.equal(server.peers.length, 1, stage);
  }
});

test('lost when the message has begun: 451, and it is not sent again', async t => {
  for (const stage of ['data', 'message'] as const) {
    for (const budget of [undefined, 0]) {
      const { server, answer } = await opened(t);
      assert.match(await answer(), taken);
      server.script = now => (now === stage ? { and: 'reset' } : undefined);
      const wire = `${'x'.repeat(5_000_000)}\r\n`;
      assert.equal(await answer({ wire, budget }), unavailable);
      assert.equal(server.peers.length, 1, stage);
    }
  }
});

test('a server that needs a new connection for every message costs nobody an answer', async t => {
  const once: Script = (stage, { messages }) =>
    stage === 'message' && messages.length > 0 ? { say: '250 2.0.0 Ok', and: 'close' } : undefined;
  const { server, answer } = await opened(t, once);
  for (let n = 0; n < 5; n++) assert.match(await answer(), taken);
  assert.equal(server.messages.length, 5);
});

async function opened(t: test.TestContext, script: Script = usual, extensions?: readonly string[]) {
  const made = await bench(t, script, extensions);
  return { server: made.server, deliver: made.deliver.bind(made), answer: made.answer.bind(made) };
}
