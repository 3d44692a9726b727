// How many transactions may come to a destination, and for how long each holds its place.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Turn } from '../../src/deliver/destination.ts';
import { describeReply, type Reply } from '../../src/wire/reply.ts';
import { busy, minute, running, Scene, second } from './destination-scene.ts';

test('an unproven destination holds an eighth of the connections left, 4 at least, 30 at most', () => {
  const cases: [connections: number, inProgress: number, places: number][] = [
    // The share shrinks with each place that it takes itself.
    [500, 0, 30],
    [500, 240, 29],
    [500, 360, 16],
    [500, 440, 7],
    [500, 468, 4],
    [500, 500, 4],
    [500, 600, 4],
    [100, 0, 12],
    [1, 0, 4],
    [10_000, 0, 30],
  ];
  for (const [connections, inProgress, places] of cases) {
    const scene = new Scene(connections);
    // At 200 domains, because each may hold a few only.
    for (let n = 0; n < inProgress; n++) scene.places(`other${n % 200}.example`);
    assert.equal(scene.destinations.inProgress, inProgress);
    assert.equal(scene.room('a.example'), places, `${connections} ${inProgress}`);
  }
});

test('healthy for 60 s after a delivery of under 10 s: 30 places whatever is left', async () => {
  const cases: [name: string, history: (scene: Scene) => Promise<void>, places: number][] = [
    ['no history', () => Promise.resolve(), 4],
    ['fast', scene => scene.delivered('a.example', 9999), 30],
    ['slow', scene => scene.delivered('a.example', 10_000), 4],
    [
      'fast, 59.9 s ago',
      async scene => {
        await scene.delivered('a.example', 50);
        scene.now += minute - 1;
      },
      30,
    ],
    [
      'fast, 60 s ago',
      async scene => {
        await scene.delivered('a.example', 50);
        scene.places('a.example'); // Or it would be forgotten.
        scene.now += minute;
      },
      3,
    ],
    [
      'slow after fast',
      async scene => {
        await scene.delivered('a.example', 50);
        await scene.delivered('a.example', 20 * second);
      },
      4,
    ],
    [
      'given up early after fast',
      async scene => {
        await scene.delivered('a.example', 50);
        (await scene.delivery('a.example')).turn.end('cancelled');
      },
      30,
    ],
    [
      'given up late after fast',
      async scene => {
        await scene.delivered('a.example', 50);
        const { places, turn } = await scene.delivery('a.example');
        scene.now += 10 * second;
        turn.end('cancelled');
        places.end();
      },
      4,
    ],
    [
      'died, then opened by the answer to an older delivery',
      async scene => {
        await scene.delivered('a.example', 50);
        const older = await scene.delivery('a.example');
        await scene.dies('a.example');
        older.turn.alive();
        older.places.end();
      },
      4,
    ],
  ];
  for (const [name, history, places] of cases) {
    const scene = new Scene(500);
    for (let n = 0; n < 480; n++) scene.places(`other${n % 200}.example`);
    await history(scene);
    assert.equal(scene.room('a.example'), places, name);
  }
});

test('of a group message a delivery that is done gives its place back at once, whatever the others do', async () => {
  const cases: [name: string, after: (turn: Turn) => void, room: number][] = [
    ['under way', () => undefined, 0],
    ['a sign of life', turn => turn.alive(), 0],
    ['done', turn => turn.end('answered'), 4],
    ['given up', turn => turn.end('cancelled'), 4],
  ];
  for (const [name, after, room] of cases) {
    const scene = new Scene();
    const groups = Array.from({ length: 30 }, () => scene.places('tarpit.example', 'healthy.example'));
    for (const group of groups) scene.ask(group, 'tarpit.example');
    const asked = groups.slice(0, 4).map(group => scene.ask(group, 'healthy.example'));
    for (const got of asked) after(running(await got()));
    assert.deepEqual([scene.room('healthy.example'), scene.room('tarpit.example')], [room, 0], name);
    assert.equal(scene.destinations.inProgress, 30, name);
    for (const group of groups) group.end();
    assert.deepEqual([scene.room('healthy.example'), scene.room('tarpit.example')], [30, 30], `${name}, after the end`);
    assert.equal(scene.destinations.inProgress, 0, name);
  }
});

test('one place a domain and transaction, whatever the number of its recipients and the case of their domain', () => {
  const scene = new Scene(16);
  const places = scene.places('a.example', 'A.Example', 'a.example', 'b.example');
  assert.deepEqual([scene.destinations.inProgress, scene.destinations.size], [1, 2]);
  assert.equal(scene.room('a.EXAMPLE'), 3);
  // Only ASCII is folded: other octets are parts of UTF-8 characters.
  scene.places('\xc3\x84.example', '\xc3\xa4.example');
  assert.deepEqual([scene.destinations.inProgress, scene.destinations.size], [2, 4]);
  places.end();
  places.end();
  assert.equal(scene.destinations.inProgress, 1);
  assert.equal(scene.room('a.example'), 4);
});

test('a refused transaction holds nothing, and one with places elsewhere keeps them', () => {
  const scene = new Scene(1);
  for (let n = 0; n < 4; n++) scene.places('a.example');
  const places = scene.places('b.example');
  assert.equal(scene.rcpt('a.example', places), busy);
  assert.equal(scene.rcpt('a.example'), busy);
  assert.equal(scene.destinations.inProgress, 5);
  places.end();
  assert.equal(scene.destinations.inProgress, 4);
});

test('after its end a transaction may begin again', async () => {
  const scene = new Scene();
  const places = scene.places('a.example');
  places.end();
  assert.equal(describeReply((await places.turn('a.example', AbortSignal.any([]))) as Reply), busy);
  assert.equal(scene.rcpt('a.example', places), null);
  assert.equal(scene.destinations.inProgress, 1);
});
