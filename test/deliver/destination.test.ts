// The rules of destinations one by one: shares, turns, closing and opening, the probe, memory.
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import type { Turn } from '../../src/deliver/destination.ts';
import { Destinations, type Places } from '../../src/deliver/destinations.ts';
import { describeReply, type Reply } from '../../src/wire/reply.ts';

const busy = '451 4.3.2 Transport busy';
const second = 1000;
const minute = 60_000;

/** Destinations whose time only the test moves. */
class Scene {
  now = 1e6;
  random = 0;
  readonly destinations: Destinations;
  readonly #alive = new AbortController().signal;

  constructor(connections = 500) {
    this.destinations = new Destinations({ connections, clock: () => this.now, random: () => this.random });
  }

  /** What RCPT is answered, null when the place was taken. */
  rcpt(domain: string, places = this.destinations.begin()): string | null {
    const refusal = places.take(domain);
    return refusal === null ? null : describeReply(refusal);
  }

  places(...domains: string[]): Places {
    const places = this.destinations.begin();
    for (const domain of domains) assert.equal(this.rcpt(domain, places), null);
    return places;
  }

  /** A transaction with one place whose delivery runs. */
  async delivery(domain: string): Promise<{ places: Places; turn: Turn }> {
    const places = this.places(domain);
    return { places, turn: running(await places.turn(domain, this.#alive)) };
  }

  /** One that asks for its turn, and what it has got by now. */
  queued(domain: string, signal = this.#alive): { places: Places; got: () => Promise<string | Turn> } {
    const places = this.places(domain);
    return { places, got: this.ask(places, domain, signal) };
  }

  ask(places: Places, domain: string, signal = this.#alive): () => Promise<string | Turn> {
    let got: Turn | Reply | null = null;
    void places.turn(domain, signal).then(result => (got = result));
    return async () => {
      for (let n = 0; n < 5; n++) await null;
      if (got === null) return 'waits';
      return 'code' in got ? describeReply(got) : got;
    };
  }

  async delivered(domain: string, took: number): Promise<void> {
    const { places, turn } = await this.delivery(domain);
    this.now += took;
    turn.end('answered');
    places.end();
  }

  async dies(domain: string, cause = 'no route'): Promise<void> {
    const { places, turn } = await this.delivery(domain);
    turn.end({ dead: cause });
    places.end();
  }

  /** How many more transactions find a place. */
  room(domain: string): number {
    const taken: Places[] = [];
    for (let refusal: string | null = null; ; ) {
      const places = this.destinations.begin();
      refusal = this.rcpt(domain, places);
      if (refusal === busy) break;
      assert.equal(refusal, null);
      taken.push(places);
    }
    for (const places of taken) places.end();
    return taken.length;
  }
}

function running(result: Turn | Reply | string): Turn {
  assert.ok(typeof result !== 'string' && !('code' in result), JSON.stringify(result));
  return result;
}

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
      29,
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

test('memory: forgotten 60 s after the last place or turn was given back', async () => {
  const scene = new Scene();
  const { places, turn } = await scene.delivery('a.example');
  scene.now += 10 * minute;
  scene.destinations.sweep();
  places.end();
  scene.now += 10 * minute;
  scene.destinations.sweep();
  assert.equal(scene.destinations.size, 1, 'its delivery runs');
  turn.end('answered');
  scene.now += minute - 1;
  scene.destinations.sweep();
  assert.equal(scene.destinations.size, 1);
  scene.now += 1;
  scene.destinations.sweep();
  assert.equal(scene.destinations.size, 0);
});

test('memory: a closed one is forgotten 60 s after its next try, and with it how long it was closed', async () => {
  for (const sweeps of [true, false]) {
    const scene = new Scene();
    await scene.dies('a.example');
    scene.now += 5 * second;
    await scene.dies('a.example', 'why');
    scene.now += 10 * second + minute - 1;
    scene.destinations.sweep();
    assert.equal(scene.destinations.size, 1);
    scene.now += 1;
    if (sweeps) scene.destinations.sweep();
    await scene.dies('a.example', 'why');
    assert.equal(scene.rcpt('a.example'), '451 4.4.1 why (next try in 5 s)');
  }
});

test('memory: of 500 the one that is idle longest goes for the next; none idle is busy', async () => {
  const scene = new Scene(10_000);
  const open: Places[] = [];
  for (let n = 0; n < 498; n++) open.push(scene.places(`${n}.example`));
  await scene.dies('closed.example');
  scene.now += 1;
  await scene.delivered('idle.example', 50);
  scene.now += 1;
  open[7]?.end();
  assert.equal(scene.destinations.size, 500);
  open.push(scene.places('new.example'));
  assert.equal(scene.destinations.size, 500);
  assert.notEqual(scene.rcpt('closed.example'), null, 'still known');
  open.push(scene.places('newer.example'));
  assert.equal(scene.rcpt('newest.example'), busy);
  assert.equal(scene.rcpt('7.example'), busy, 'it had to go');
  assert.equal(scene.rcpt('8.example'), null, 'what is held takes more');
  scene.now += 5 * second;
  assert.equal(scene.rcpt('newest.example'), null, 'in the place of the closed one, whose time is over');
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
