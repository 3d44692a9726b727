// At most 90 connections, those who wait served in order, idle ones used again for a short while.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { formatReply } from '../../src/wire/reply.ts';
import { bench, patience, unavailable } from './delivery.ts';

const limit = 90;
const idleTime = 5000;
const taken = '250 2.0.0 Ok\r\n';

/** Deliveries whose answers the server holds back, and what has come of them. */
async function held(t: test.TestContext, count: number) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const made = await bench(t, stage => (stage === 'message' ? {} : undefined));
  const { server } = made;
  const order: number[] = [];
  const answers = Array.from({ length: count }, async (_, n) => {
    const answer = await made.answer({ wire: `message ${n}\r\n` });
    order.push(n);
    return answer;
  });
  await server.until(() => server.messages.length === Math.min(count, limit));
  return { made, server, answers, order };
}

test('at most 90 connections at a time; the others wait in order and use those that come free', async t => {
  const { server, answers } = await held(t, 200);
  assert.deepEqual([server.open, server.peers.length], [limit, limit]);
  for (let given = 0; given < 200; given++) {
    const waiting = server.messages.length;
    assert.equal(waiting, Math.min(limit + given, 200));
    const peer = server.peer((given * 7) % limit);
    const answered = peer.messages.length;
    assert.ok(answered > 0);
    peer.do('250 2.0.0 Ok');
    if (waiting < 200) {
      await server.until(() => server.messages.length === waiting + 1);
      assert.equal(peer.messages.at(-1), `message ${limit + given}\r\n`, 'who waited longest is next');
    } else if (given >= 200 - limit) break;
  }
  // The last ones have no one behind them.
  for (let n = 0; n < limit; n++) if (n !== ((200 - limit) * 7) % limit) server.peer(n).do('250 2.0.0 Ok');
  assert.deepEqual(new Set(await Promise.all(answers)), new Set([taken]));
  assert.equal(server.peers.length, limit);
});

test('a refused mail gives its place to the next, over a new connection', async t => {
  const { server, answers } = await held(t, limit + 2);
  server.peer(3).do('554 5.7.1 no');
  await server.until(() => server.peers.length === limit + 1);
  await server.until(() => server.messages.length === limit + 1);
  assert.equal(server.peer(limit).messages[0], `message ${limit}\r\n`);
  await server.until(() => server.peer(3).closed);
  server.peer(5).do({ and: 'reset' });
  await server.until(() => server.messages.length === limit + 2);
  for (const peer of server.peers) if (!peer.closed) peer.do('250 2.0.0 Ok');
  const said = await Promise.all(answers);
  assert.deepEqual([said[3], said[5]], ['554 5.7.1 no\r\n', unavailable]);
  assert.equal(said.filter(answer => answer === taken).length, limit);
});

test('who gives up waiting, by deadline or because the client goes, loses no place', async t => {
  const { made, server, answers } = await held(t, limit);
  const gone = new AbortController();
  const first = made.deliver({ gone: gone.signal });
  const second = made.deliver({ deadline: 1000 });
  const third = made.answer({ wire: 'third\r\n' });
  await turn();
  gone.abort();
  assert.deepEqual([formatReply((await first).answer), (await first).failure?.includes('gone')], [unavailable, true]);
  t.mock.timers.tick(1000);
  assert.deepEqual(
    [formatReply((await second).answer), (await second).failure?.includes('deadline')],
    [unavailable, true],
  );
  server.peer(0).do('250 2.0.0 Ok');
  await server.until(() => server.messages.length === limit + 1);
  assert.equal(server.peer(0).messages[1], 'third\r\n');
  for (const peer of server.peers) peer.do('250 2.0.0 Ok');
  assert.equal(await third, taken);
  assert.deepEqual(new Set(await Promise.all(answers)), new Set([taken]));
  assert.equal(server.peers.length, limit);
});

test('a place that comes free in the very moment in which its next owner gives up goes on to the one behind', async t => {
  const { made, server, answers } = await held(t, limit - 1);
  const gone = new AbortController();
  // The last thing that a delivery does, when its place is given on already, is to forget its client.
  const { signal } = new AbortController();
  signal.removeEventListener = () => gone.abort();
  const first = made.answer({ gone: signal });
  await server.until(() => server.messages.length === limit);
  const second = made.deliver({ gone: gone.signal, wire: 'second\r\n' });
  const third = made.answer({ wire: 'third\r\n' });
  await turn();
  server.peer(limit - 1).do('250 2.0.0 Ok');
  assert.equal(await first, taken);
  const { answer, failure } = await second;
  assert.deepEqual([formatReply(answer), failure?.includes('gone')], [unavailable, true]);
  await server.until(() => server.messages.includes('third\r\n'));
  assert.equal(server.messages.includes('second\r\n'), false);
  for (const peer of server.peers) if (!peer.closed) peer.do('250 2.0.0 Ok');
  assert.equal(await third, taken);
  await Promise.all(answers);
});

test('a limit of waiting: 90 s from the last octet, not from a free place', async t => {
  const { made, server, answers } = await held(t, limit);
  const late = made.deliver();
  await turn();
  t.mock.timers.tick(patience - 1);
  server.script = stage => (stage === 'MAIL' ? {} : undefined);
  server.peer(0).do('250 2.0.0 Ok');
  await server.until(() => server.peer(0).verbs.endsWith('DATA MAIL RCPT DATA'));
  t.mock.timers.tick(1);
  const { answer, failure } = await late;
  assert.equal(formatReply(answer), unavailable);
  assert.match(failure ?? '', /deadline/);
  for (const peer of server.peers) if (!peer.closed) peer.do('250 2.0.0 Ok');
  await Promise.all(answers);
});

test('an idle connection is closed with QUIT when its time is over, not earlier', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const made = await bench(t);
  const { server } = made;
  await made.idleConnections(3);
  t.mock.timers.tick(idleTime - 1);
  await turn();
  assert.equal(server.open, 3);
  // The youngest is used; the others may go.
  assert.equal((await made.deliver()).answer.code, 250);
  assert.equal(server.peers.filter(({ messages }) => messages.length === 2).length, 1);
  t.mock.timers.tick(1);
  await server.until(() => server.open === 1);
  assert.equal(server.peers.filter(({ verbs }) => verbs.endsWith('QUIT')).length, 2);
  t.mock.timers.tick(idleTime - 2);
  await turn();
  assert.equal(server.open, 1);
  t.mock.timers.tick(1);
  await server.until(() => server.open === 0);
  assert.equal((await made.deliver()).answer.code, 250);
  assert.equal(server.peers.length, 4);
});

test('of several idle connections the youngest is used, so that the others may end', async t => {
  const { made, server, answers } = await held(t, 3);
  for (const n of [1, 0, 2]) {
    server.peer(n).do('250 2.0.0 Ok');
    assert.equal(await answers[Number(server.peer(n).messages[0]?.slice(8))], taken);
  }
  server.script = () => undefined;
  assert.equal((await made.deliver()).answer.code, 250);
  assert.deepEqual(
    server.peers.map(({ messages }) => messages.length),
    [1, 1, 2],
  );
});

test('steady traffic, one mail at a time, keeps one connection', async t => {
  const made = await bench(t);
  for (let n = 0; n < 100; n++) assert.equal((await made.deliver()).answer.code, 250);
  assert.equal(made.server.peers.length, 1);
});

test('closing ends the idle connections with QUIT and lets a delivery under way end', async t => {
  const made = await bench(t);
  const { server } = made;
  await made.idleConnections(3);
  server.script = stage => (stage === 'message' ? {} : undefined);
  const delivery = made.answer();
  await server.until(() => server.messages.length === 4);
  made.reinjector.close();
  await server.until(() => server.open === 1);
  const last = server.peers.find(({ closed }) => !closed);
  assert.equal(server.peers.filter(({ closed, verbs }) => closed && verbs.endsWith('QUIT')).length, 2);
  last?.do('250 2.0.0 Ok');
  assert.equal(await delivery, taken);
});

test('a server that does not hang up behind QUIT costs no descriptor for long', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const made = await bench(t);
  const { server } = made;
  await made.idleConnections(1);
  const peer = server.peer(0);
  peer.socket.removeAllListeners('end'); // it does not answer our end of the connection
  server.script = stage => (stage === 'QUIT' ? {} : undefined);
  const reset = new Promise(resolve => peer.socket.once('error', resolve));
  t.mock.timers.tick(idleTime);
  await server.until(() => peer.verbs.endsWith('QUIT'));
  t.mock.timers.tick(1000);
  peer.do('221 2.0.0 Bye');
  // Written to a socket that is no more: a reset comes back.
  await turn();
  peer.do('221 2.0.0 Bye');
  await reset;
  await server.until(() => peer.closed);
});
