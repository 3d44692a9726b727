// How long destinations are remembered, and how many.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Places } from '../../src/deliver/destinations.ts';
import { busy, minute, Scene, second } from './destination-scene.ts';

test('forgotten 60 s after the last place or turn was given back', async () => {
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

test('a closed one is forgotten 60 s after its next try, and with it how long it was closed', async () => {
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

test('of 500 the one that is idle longest goes for the next; none idle is busy', async () => {
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
