// Two relays with faults in the middle of 200 messages: every one arrives, and once, but for those whose answer was lost on its way
// back.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Arrived, burst, type Mailbox, openMailbox } from './whole/burst.ts';
import { describeRelays } from './whole/requirements.ts';
import { TwoRelays } from './whole/two-relays.ts';

describeRelays('two relays, faults', () => {
  let world: TwoRelays;
  let sender: Mailbox;

  before(async () => {
    world = await TwoRelays.start({ settings: { max_user_send_per_minute: 6000, max_user_send_burst_size: 1000 } });
    sender = await openMailbox(world.one);
  });
  after(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  const arrive = async (fault: () => unknown): Promise<Arrived> =>
    await burst(world.clients, [sender, await openMailbox(world.two)], fault);

  /** To one destination transport has no more deliveries under way. */
  const underWay = 4;

  test('outgoing is killed and comes back', async t => {
    const filter = world.one.service('outgoing');
    const { lost, twice, retried } = await arrive(() => filter.kill('SIGKILL'));
    t.diagnostic(`${twice} came twice, ${retried} were sent again by the client`);
    assert.deepEqual(lost, []);
    assert.equal(filter.restarts, 1);
    assert.ok(twice <= retried);
  });

  test('transport is killed and comes back', async t => {
    const filter = world.one.service('transport');
    const { log } = world.one.service('postfix');
    const { mark } = log;
    const { lost, twice } = await arrive(() => filter.kill('SIGKILL'));
    const unsure = log.since(mark).filter(line => line.includes('message may be sent more than once')).length;
    t.diagnostic(`${twice} came twice, of ${unsure} Postfix did not hear the answer`);
    assert.deepEqual(lost, []);
    assert.equal(filter.restarts, 1);
    assert.ok(twice <= unsure);
  });

  test('incoming is killed and comes back', async t => {
    const filter = world.two.service('incoming');
    const { lost, twice } = await arrive(() => filter.kill('SIGKILL'));
    t.diagnostic(`${twice} came twice`);
    assert.deepEqual(lost, []);
    assert.equal(filter.restarts, 1);
    assert.ok(twice <= underWay);
  });

  test('Postfix is reloaded on both relays', async () => {
    const reload = () => Promise.all([world.one, world.two].map(({ host }) => host.run(['postfix', 'reload'])));
    const { lost, twice, retried } = await arrive(reload);
    assert.deepEqual({ lost, twice, retried }, { lost: [], twice: 0, retried: 0 });
  });

  test('the resolvers of both relays are away for 20 s', async () => {
    const resolvers = [world.one, world.two].map(relay => relay.service('unbound'));
    // New filters know no keys and no policies yet.
    for (const [relay, mode] of [
      [world.one, 'transport'],
      [world.two, 'incoming'],
    ] as const) {
      await relay.service(mode).stop();
      await relay.service(mode).start();
    }
    const { lost, twice } = await arrive(async () => {
      await Promise.all(resolvers.map(resolver => resolver.stop()));
      await sleep(20_000); // the fault itself
      await Promise.all(resolvers.map(resolver => resolver.start()));
    });
    assert.deepEqual({ lost, twice }, { lost: [], twice: 0 });
  });

  test('nginx is restarted', async t => {
    const nginx = world.two.service('nginx');
    const { lost, twice } = await arrive(async () => {
      await nginx.stop();
      await nginx.start();
    });
    t.diagnostic(`${twice} came twice`);
    assert.deepEqual(lost, []);
    assert.ok(twice <= underWay);
  });
});
