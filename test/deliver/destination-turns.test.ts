// Whose turn it is at a destination, and who waits for it.
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import type { Turn } from '../../src/deliver/destination.ts';
import { busy, running, Scene, second } from './destination-scene.ts';

test('four turns at once, the others in order', async () => {
  const scene = new Scene();
  const first = await Promise.all([1, 2, 3, 4].map(() => scene.delivery('a.example')));
  const waiting = [0, 1, 2].map(() => scene.queued('a.example'));
  const other = await scene.delivery('b.example');
  for (const { got } of waiting) assert.equal(await got(), 'waits');
  first[2]?.turn.end('answered');
  first[2]?.turn.end('answered');
  other.turn.end('answered');
  running((await waiting[0]?.got()) ?? '');
  assert.deepEqual([await waiting[1]?.got(), await waiting[2]?.got()], ['waits', 'waits']);
  first[0]?.turn.end('cancelled');
  running((await waiting[1]?.got()) ?? '');
  assert.equal(await waiting[2]?.got(), 'waits');
});

test('who waits for 120 s is sent away; who gives up loses its place in the queue only', async () => {
  const scene = new Scene();
  const first = await Promise.all([1, 2, 3, 4].map(() => scene.delivery('a.example')));
  const gone = new AbortController();
  const patient = scene.queued('a.example');
  scene.now += 1;
  const impatient = scene.queued('a.example', gone.signal);
  const last = scene.queued('a.example');
  scene.now += 120 * second - 2;
  scene.destinations.sweep();
  assert.equal(await patient.got(), 'waits');
  scene.now += 1;
  scene.destinations.sweep();
  assert.deepEqual([await patient.got(), await last.got()], [busy, 'waits']);
  assert.equal(getEventListeners(gone.signal, 'abort').length, 1);
  gone.abort();
  assert.equal(await impatient.got(), busy);
  assert.equal(getEventListeners(gone.signal, 'abort').length, 0);
  first[0]?.turn.end('answered');
  running(await last.got());
  assert.equal(await scene.queued('a.example', gone.signal).got(), busy, 'gone before it came');
});

test('listeners are removed from the signal of a delivery that got its turn', async () => {
  const scene = new Scene();
  const first = await Promise.all([1, 2, 3, 4].map(() => scene.delivery('a.example')));
  const { signal } = new AbortController();
  const { got } = scene.queued('a.example', signal);
  first[0]?.turn.end('answered');
  running(await got());
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('ten thousand waiters leave quickly, in whatever way and order', async () => {
  const ways: [name: string, leave: (scene: Scene, turns: Turn[], gone: AbortController[]) => void][] = [
    ['closed', (_, turns) => turns[0]?.end({ dead: 'why' })],
    [
      'swept',
      scene => {
        scene.now += 120 * second;
        scene.destinations.sweep();
      },
    ],
    [
      'one turn after the other',
      (_, turns) => {
        for (const turn of turns) turn.end('cancelled');
      },
    ],
    ['gone, first to last', (_, __, gone) => gone.forEach(each => void each.abort())],
    ['gone, last to first', (_, __, gone) => gone.reverse().forEach(each => void each.abort())],
  ];
  for (const [name, leave] of ways) {
    const scene = new Scene();
    const places = scene.places('a.example');
    const gone = Array.from({ length: 10_000 }, () => new AbortController());
    const { signal } = new AbortController();
    const turns = await Promise.all([1, 2, 3, 4].map(async () => running(await places.turn('a.example', signal))));
    const answers = gone.map(async each => {
      const got = await places.turn('a.example', each.signal);
      if (!('code' in got)) got.end('cancelled');
    });
    const start = performance.now();
    leave(scene, turns, gone);
    await Promise.all(answers);
    assert.ok(performance.now() - start < 2000, `${name}: ${performance.now() - start} ms`);
  }
});
