// The deadline passes, or the client goes: before our final dot nothing is delivered, behind it the delivery counts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { ReinjectResult } from '../../src/deliver/reinject.ts';
import { formatReply } from '../../src/wire/reply.ts';
import { type Bench, bench, patience, pipeliningOrNot, unavailable, usual } from './delivery.ts';
import type { Move, Stage } from './scripted-server.ts';

const large = `${'0123456789'.repeat(2_000_000)}\r\n`;
const xforward = [{ name: 'NAME', value: 'x' }];

/** Stages before the dot; at `data` the server has stopped reading, so that the rest of the message waits. */
const beforeDot: readonly Stage[] = ['greeting', 'EHLO', 'XFORWARD', 'MAIL', 'RCPT', 'DATA', 'data'];

/** A delivery to a server that falls silent at the stage; resolves when it has. */
async function silentAt(made: Bench, stage: Stage, options: Parameters<Bench['deliver']>[0] = {}) {
  const { server } = made;
  const silence: Move = stage === 'data' ? { and: 'deaf' } : {};
  const reached = new Promise<void>(resolve => {
    server.script = now => {
      if (now !== stage) return undefined;
      resolve();
      return silence;
    };
  });
  const delivery = made.deliver({ xforward, wire: stage === 'data' ? large : 'x\r\n', ...options });
  await reached;
  return { delivery, silence };
}

/** Whether the promise has settled, when everything that is under way by itself has had its turn. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  promise.finally(() => {
    done = true;
  });
  for (let n = 0; n < 20; n++) await turn();
  return done;
}

function assertNothingDelivered(made: Bench, { answer, failure }: ReinjectResult, reason: RegExp): void {
  assert.equal(formatReply(answer), unavailable);
  assert.match(failure ?? '', reason);
  assert.doesNotMatch(failure ?? '', /final dot/);
  assert.deepEqual(made.server.messages, []);
}

/** Reads what is still on its way. */
async function assertNoDotFollows({ server }: Bench): Promise<void> {
  server.script = usual;
  for (const { socket } of server.peers) socket.resume();
  await server.until(() => server.open === 0);
  assert.deepEqual(server.messages, []);
}

for (const [how, extensions] of pipeliningOrNot) {
  for (const stage of beforeDot) {
    test(`the deadline passes at ${stage}, ${how}`, async t => {
      t.mock.timers.enable({ apis: ['setTimeout'] });
      const made = await bench(t, undefined, extensions);
      const { delivery } = await silentAt(made, stage);
      t.mock.timers.tick(patience - 1);
      assert.equal(await settled(delivery), false);
      t.mock.timers.tick(1);
      assertNothingDelivered(made, await delivery, /deadline/);
      await assertNoDotFollows(made);
    });

    test(`the client goes at ${stage}, ${how}`, async t => {
      t.mock.timers.enable({ apis: ['setTimeout'] });
      const made = await bench(t, undefined, extensions);
      const gone = new AbortController();
      const { delivery } = await silentAt(made, stage, { gone: gone.signal });
      assert.equal(await settled(delivery), false);
      gone.abort();
      assertNothingDelivered(made, await delivery, /client has gone/);
      await assertNoDotFollows(made);
    });
  }
}

test('behind the dot neither the client nor the deadline stops the delivery', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  for (const wire of ['x\r\n', large]) {
    const made = await bench(t);
    const gone = new AbortController();
    const { delivery } = await silentAt(made, 'message', { wire, gone: gone.signal });
    gone.abort();
    t.mock.timers.tick(patience);
    assert.equal(await settled(delivery), false);
    made.server.peer(0).do('250 2.0.0 Ok');
    const { answer, failure } = await delivery;
    assert.deepEqual([formatReply(answer), failure], ['250 2.0.0 Ok\r\n', null]);
  }
});

test('behind the dot the answer is waited for a while longer than the deadline, and not for ever', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const made = await bench(t);
  const { delivery } = await silentAt(made, 'message');
  // Postfix waits 100 s for ours.
  t.mock.timers.tick(patience + 10_000);
  const { answer, failure } = await delivery;
  assert.equal(formatReply(answer), unavailable);
  assert.match(failure ?? '', /after the final dot/);
  await made.server.until(() => made.server.open === 0);
});

test('a client that has gone already, or goes while we connect: nothing is sent', async t => {
  const made = await bench(t);
  assertNothingDelivered(made, await made.deliver({ gone: AbortSignal.abort() }), /client has gone/);
  assert.equal(made.server.peers.length, 0);
  const gone = new AbortController();
  const delivery = made.deliver({ gone: gone.signal });
  await Promise.resolve().then(() => gone.abort());
  assertNothingDelivered(made, await delivery, /client has gone/);
});

test('a deadline that has passed already delivers nothing, not even over an idle connection', async t => {
  const made = await bench(t);
  await made.idleConnections(1);
  // Node warns of a timer with a negative time, on the log's own stream.
  const warnings: string[] = [];
  const note = ({ name }: Error) => warnings.push(name);
  process.on('warning', note);
  t.after(() => process.off('warning', note));
  for (let n = 0; n < 50; n++) {
    const { answer } = await made.deliver({ deadline: -1 });
    assert.equal(formatReply(answer), unavailable);
    await made.deliver();
  }
  assert.equal(made.server.messages.length, 51);
  assert.deepEqual(warnings, []);
});

test('a deadline or a client that is gone is no reason to try again on a new connection', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  for (const end of ['deadline', 'gone'] as const) {
    const made = await bench(t);
    await made.idleConnections(1);
    const gone = new AbortController();
    const { delivery } = await silentAt(made, 'MAIL', { gone: gone.signal });
    if (end === 'gone') gone.abort();
    else t.mock.timers.tick(patience);
    assert.equal(formatReply((await delivery).answer), unavailable);
    await made.server.until(() => made.server.open === 0);
    assert.deepEqual([made.server.peers.length, made.server.messages.length], [1, 1], end);
  }
});

test('one deadline covers the stale connection and its replacement', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const made = await bench(t);
  const { server } = made;
  await made.idleConnections(1);
  server.script = (stage, { number }) =>
    stage === 'MAIL' && number === 0 ? {} : stage === 'greeting' ? {} : undefined;
  const delivery = made.deliver();
  await server.until(() => server.peer(0).verbs.includes('MAIL RCPT DATA MAIL'));
  t.mock.timers.tick(patience - 1);
  server.peer(0).do({ and: 'close' });
  await server.until(() => server.peers.length === 2);
  assert.equal(await settled(delivery), false);
  t.mock.timers.tick(1);
  assert.equal(formatReply((await delivery).answer), unavailable);
});
