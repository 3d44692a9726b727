// Where mail from elsewhere comes from, in a world that does as it is told: clocks, keys, and what time they leave for the delivery.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { beforeEach, describe, test } from 'node:test';
import { Reinjector } from '../../src/deliver/reinject.ts';
import { parseHeader } from '../../src/message/header.ts';
import { author, me, sealedBy, signed } from '../loopback/incoming-mail.ts';
import { good, send, two, unsigned, World } from './incoming-world.ts';

let world: World;
beforeEach(() => {
  world = new World();
});

describe('origin', () => {
  test('the wall clock counts, and may be set back', async () => {
    const now = world.wall / 1000;
    const text = sealedBy(two, undefined, { tags: `t=${now}; x=${now + 1000};` });
    const mode = world.mode();
    assert.match(await send(mode, text), /^250 /);
    world.wall -= 7_200_000;
    assert.match(await send(mode, text), /^554 /);
    assert.match(world.logged.at(-1) ?? '', /: signed in the future; kept as /);
    world.wall += 7_200_000 + 1_200_000;
    assert.match(await send(mode, text), /^250 /, '300 s are forgiven');
    world.wall += 101_000;
    assert.match(await send(mode, text), /^554 /);
    assert.match(world.logged.at(-1) ?? '', /: expired; kept as /);
  });

  test('files bear the time of the wall clock', async () => {
    await send(world.mode(), unsigned);
    world.wall -= 1e12;
    await send(world.mode(), unsigned);
    const times = world.kept().map(name => Number.parseInt(name, 10));
    assert.deepEqual(
      times.sort((a, b) => a - b),
      [800_000_000, 1_800_000_000],
    );
    for (const name of world.kept()) {
      assert.equal(readFileSync(join(world.rejectedDirectory, 'dkim-verify', name), 'latin1'), unsigned);
      assert.ok(
        world.logged.some(text => text.endsWith(`kept as ${join(world.rejectedDirectory, 'dkim-verify', name)}`)),
      );
    }
  });

  test('what cannot be kept is refused all the same, and the log says why', async () => {
    writeFileSync(world.rejectedDirectory, '');
    assert.match(await send(world.mode(), unsigned), /^554 5\.7\.1 /);
    assert.match(world.logged.at(-1) ?? '', /No DKIM signature found; not kept: ".*ENOTDIR/);
  });

  test('DNS trouble: 451, told with its cause, nothing kept', async () => {
    world.lookup = () => Promise.resolve({ trouble: 'ESERVFAIL' });
    assert.match(await send(world.mode()), /^451 4\.7\.5 /);
    assert.match(world.logged.at(-1) ?? '', /^WARN Incoming: deferred mail from me@two\.test: .*ESERVFAIL$/);
    assert.throws(() => world.kept(), /ENOENT/);
    assert.deepEqual(world.delivered, []);
  });

  test('a look-up that throws is thrown on: the entrance answers 451, and nothing is delivered', async () => {
    world.lookup = () => Promise.reject(new Error('broken'));
    await assert.rejects(send(world.mode()), /broken/);
    assert.deepEqual(world.delivered, []);
    world.lookup = () => Promise.resolve({ records: [[two.record]] });
    assert.match(await send(world.mode()), /^250 /);
  });

  test('without DKIM nothing is looked up, hashed or kept', async () => {
    world.lookup = () => assert.fail('looked up');
    const mode = world.mode({ FILTERMAIL_SKIP_DKIM: 'true' });
    const header = parseHeader(good);
    assert.ok(typeof header !== 'string');
    assert.deepEqual(mode.digests(header), []);
    assert.match(await send(mode, unsigned), /^250 /);
    assert.match(await send(mode, good), /^250 /);
  });

  test('bodies are hashed only in the forms that aligned signatures need', () => {
    const forms = (text: string) => {
      const header = parseHeader(text);
      assert.ok(typeof header !== 'string');
      return [...world.mode().digests(header)].sort();
    };
    const list = author('list.test');
    assert.deepEqual(forms(unsigned), []);
    assert.deepEqual(forms(good), ['relaxed']);
    assert.deepEqual(forms(signed(two, good, { body: 'simple' })), ['relaxed', 'simple']);
    assert.deepEqual(forms(signed(list, unsigned)), []);
    assert.deepEqual(forms(good.replace(me, 'me@[192.0.2.1]')), []);
    assert.deepEqual(forms(`From: x@y\r\n${good}`), []);
  });
});

test('one deadline: what the key has cost, a silent next hop does not get in addition', async () => {
  const server = createServer(socket => socket.on('error', () => socket.destroy())).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const clock = () => performance.now();
  const reinjector = new Reinjector({ address: '127.0.0.1', port, name: '[127.0.0.1]', clock });
  world.lookup = () => new Promise(resolve => setTimeout(resolve, 300, { records: [[two.record]] }));
  const began = clock();
  assert.match(await send(world.mode({}, reinjector), good, { deadline: began + 600 }), /^451 4\.3\.2 /);
  const took = clock() - began;
  assert.ok(took > 550 && took < 850, `${Math.round(took)} ms`);
  assert.match(world.logged.at(-1) ?? '', /deadline passed/);
  const late = clock();
  assert.match(await send(world.mode({}, reinjector), good, { deadline: late + 100 }), /^451 4\.3\.2 /);
  assert.ok(clock() - late < 600, 'no connection is tried after it');
  reinjector.close();
  server.close();
});

test('a client that went away during the look-up: nothing is delivered', async () => {
  const server = createServer(() => assert.fail('connected')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const clock = () => performance.now();
  const reinjector = new Reinjector({ address: '127.0.0.1', port, name: '[127.0.0.1]', clock });
  const leaving = new AbortController();
  world.lookup = () => {
    leaving.abort();
    return Promise.resolve({ records: [[two.record]] });
  };
  const answer = await send(world.mode({}, reinjector), good, { deadline: clock() + 5000, gone: leaving.signal });
  assert.match(answer, /^451 /);
  assert.match(world.logged.at(-1) ?? '', /client has gone/);
  reinjector.close();
  server.close();
});
