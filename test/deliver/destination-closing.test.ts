// Dead destinations: closing, the probe, opening.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Turn } from '../../src/deliver/destination.ts';
import type { Places } from '../../src/deliver/destinations.ts';
import { busy, running, Scene, second } from './destination-scene.ts';

test('a dead destination is closed at once for all who come and wait, and told with its cause', async () => {
  const scene = new Scene();
  const { turn } = await scene.delivery('a.example');
  await Promise.all([1, 2, 3].map(() => scene.delivery('a.example')));
  const waiting = [0, 1].map(() => scene.queued('a.example'));
  const uploading = scene.places('a.example');
  turn.end({ dead: 'mx.a.example[192.0.2.1]:25: connection timed out' });
  const closed = '451 4.4.1 mx.a.example[192.0.2.1]:25: connection timed out';
  for (const { got } of waiting) assert.equal(await got(), `${closed} (next try in 5 s)`);
  assert.equal(scene.rcpt('a.example'), `${closed} (next try in 5 s)`);
  assert.equal(scene.rcpt('b.example'), null);
  scene.now += 3500;
  assert.equal(await scene.ask(uploading, 'a.example')(), `${closed} (next try in 2 s)`);
});

test('the closed time doubles from 5 s to 300 s, a fifth of it random; life takes it back to 5 s', async () => {
  for (const [random, part] of [
    [0, 1],
    [0.5, 0.9],
    [1, 0.8],
  ] as const) {
    const scene = new Scene();
    scene.random = random;
    for (const seconds of [5, 10, 20, 40, 80, 160, 300, 300]) {
      await scene.dies('a.example', 'why');
      assert.equal(scene.rcpt('a.example'), `451 4.4.1 why (next try in ${Math.ceil(seconds * part)} s)`);
      scene.now += seconds * part * second - 1;
      assert.equal(scene.rcpt('a.example'), '451 4.4.1 why (next try in 1 s)');
      scene.now += 1;
    }
    await scene.delivered('a.example', 50);
    await scene.dies('a.example', 'why');
    assert.equal(scene.rcpt('a.example'), `451 4.4.1 why (next try in ${Math.ceil(5 * part)} s)`);
  }
});

test('deliveries that ran when it was closed count once', async () => {
  const scene = new Scene();
  const all = await Promise.all([1, 2, 3, 4].map(() => scene.delivery('a.example')));
  for (const { turn } of all) turn.end({ dead: 'why' });
  assert.equal(scene.rcpt('a.example'), '451 4.4.1 why (next try in 5 s)');
});

test('a failure whose delivery began before a sign of life closes nothing', async () => {
  const cases: [name: string, life: (scene: Scene, turn: Turn) => void, closed: boolean][] = [
    ['no life', () => undefined, true],
    ['alive', (_, turn) => turn.alive(), false],
    ['answered', (_, turn) => turn.end('answered'), false],
    ['cancelled is no life', (_, turn) => turn.end('cancelled'), true],
  ];
  for (const [name, life, closed] of cases) {
    const scene = new Scene();
    const [one, other] = await Promise.all([1, 2].map(() => scene.delivery('a.example')));
    assert.ok(one && other);
    life(scene, one.turn);
    other.turn.end({ dead: 'why' });
    assert.equal(scene.rcpt('a.example') !== null, closed, name);
  }
  const scene = new Scene();
  const [one, other] = await Promise.all([1, 2].map(() => scene.delivery('a.example')));
  one?.turn.end({ dead: 'why' });
  other?.turn.alive();
  assert.equal(scene.rcpt('a.example'), null, 'life opens what was closed');
  const later = await scene.delivery('a.example');
  other?.turn.end({ dead: 'it had answered' });
  assert.equal(scene.rcpt('a.example'), null);
  later.turn.end({ dead: 'now' });
  assert.equal(scene.rcpt('a.example'), '451 4.4.1 now (next try in 5 s)');
  other?.turn.alive();
  assert.notEqual(scene.rcpt('a.example'), null, 'an ended turn has no more to say');
});

test('after the closed time one transaction is the probe; the others are answered as before', async () => {
  const scene = new Scene();
  const early = scene.places('a.example');
  await scene.dies('a.example', 'why');
  scene.now += 5 * second;
  const probe = scene.places('a.example');
  const closed = '451 4.4.1 why (next try in 1 s)';
  assert.equal(scene.rcpt('a.example'), closed);
  assert.equal(scene.rcpt('a.example', probe), null, 'another recipient of the probe');
  assert.equal(await scene.ask(early, 'a.example')(), closed);
  const turn = running(await scene.ask(probe, 'a.example')());
  assert.equal(scene.rcpt('a.example'), closed);
  turn.alive();
  assert.equal(scene.rcpt('a.example'), null);
  running(await scene.ask(early, 'A.example')());
});

test('a transaction from before the closing is the probe when it is the first to ask for its turn', async () => {
  const scene = new Scene();
  const early = scene.places('a.example');
  await scene.dies('a.example', 'why');
  scene.now += 5 * second;
  const turn = running(await scene.ask(early, 'a.example')());
  assert.notEqual(scene.rcpt('a.example'), null);
  turn.end({ dead: 'again' });
  assert.equal(scene.rcpt('a.example'), '451 4.4.1 again (next try in 10 s)');
});

test('a probe that comes to nothing hands on', async () => {
  type Case = (scene: Scene, probe: Places) => Promise<void>;
  const cases: [name: string, Case][] = [
    ['the transaction ends before its turn', async (_, probe) => probe.end()],
    [
      'the delivery is cancelled',
      async (scene, probe) => running(await scene.ask(probe, 'a.example')()).end('cancelled'),
    ],
    [
      'the client went before the turn was asked for',
      async (scene, probe) => assert.equal(await scene.ask(probe, 'a.example', AbortSignal.abort())(), busy),
    ],
  ];
  for (const [name, comesToNothing] of cases) {
    const scene = new Scene();
    await scene.dies('a.example', 'why');
    scene.now += 5 * second;
    const probe = scene.places('a.example');
    await comesToNothing(scene, probe);
    assert.equal(scene.rcpt('a.example'), null, name);
    assert.notEqual(scene.rcpt('a.example'), null, `${name}: one at a time`);
  }
});

test('a probe never waits: the turn that closed the destination is free', async () => {
  const scene = new Scene();
  const older = await Promise.all([1, 2, 3].map(() => scene.delivery('a.example')));
  await scene.dies('a.example', 'why');
  scene.now += 5 * second;
  running(await scene.queued('a.example').got());
  older[0]?.turn.end({ dead: 'late' });
  assert.equal(scene.rcpt('a.example'), '451 4.4.1 why (next try in 1 s)');
});

test('a foreign cause is made printable and short', async () => {
  const scene = new Scene();
  await scene.dies('a.example', `a\r\n250 \u010aok\t\x7f\xff${'x'.repeat(5000)}`);
  assert.equal(scene.rcpt('a.example'), `451 4.4.1 a??250 ?ok???${'x'.repeat(187)} (next try in 5 s)`);
});
