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
    t.diagnostic(`${twice.length} came twice, ${retried.length} were sent again by the client`);
    assert.deepEqual(lost, []);
    assert.equal(filter.restarts, 1);
    assert.ok(retried.length > 0, 'it was in the middle');
    assert.deepEqual(
      twice.filter(id => !retried.includes(id)),
      [],
    );
  });

  test('transport is killed and comes back', async t => {
    const filter = world.one.service('transport');
    const { log } = world.one.service('postfix');
    const { mark } = log;
    const { lost, twice, retried } = await arrive(() => filter.kill('SIGKILL'));
    const deferred = log.since(mark).filter(line => line.includes('status=deferred'));
    const unsure = deferred.filter(line => line.includes('message may be sent more than once'));
    t.diagnostic(`${twice.length} came twice, of ${unsure.length} Postfix did not hear the answer`);
    assert.deepEqual([lost, retried], [[], []]);
    assert.equal(filter.restarts, 1);
    assert.ok(deferred.length > 0, 'it was in the middle');
    assert.ok(twice.length <= unsure.length);
  });

  test('incoming is killed and comes back', async t => {
    const filter = world.two.service('incoming');
    const { mark } = world.one.log.transport;
    const { lost, twice, retried } = await arrive(() => filter.kill('SIGKILL'));
    t.diagnostic(`${twice.length} came twice`);
    assert.deepEqual([lost, retried], [[], []]);
    assert.equal(filter.restarts, 1);
    assert.ok(
      world.one.log.transport.since(mark).some(line => !line.includes('sent by HTTPS')),
      'it was in the middle',
    );
    assert.ok(twice.length <= underWay);
  });

  test('Postfix is reloaded on both relays', async () => {
    const reload = () => Promise.all([world.one, world.two].map(({ host }) => host.run(['postfix', 'reload'])));
    assert.deepEqual(await arrive(reload), { lost: [], twice: [], retried: [] });
  });

  test('the resolvers of both relays are away for 20 s', async () => {
    const resolvers = [world.one, world.two].map(relay => relay.service('unbound'));
    const { lost, twice } = await arrive(async () => {
      await Promise.all(resolvers.map(resolver => resolver.stop()));
      // New filters know no addresses and no keys.
      for (const service of [world.one.service('transport'), world.two.service('incoming')]) {
        await service.stop();
        await service.start();
      }
      const { mark } = world.one.log.transport;
      await sleep(20_000); // the fault itself
      const deferred = world.one.log.transport.since(mark).filter(line => / deferred: "451 4\.4\.\d /.test(line));
      assert.ok(deferred.length > 0, 'mail had to wait');
      await Promise.all(resolvers.map(resolver => resolver.start()));
    });
    assert.deepEqual({ lost, twice }, { lost: [], twice: [] });
  });

  test('nginx is restarted', async t => {
    const nginx = world.two.service('nginx');
    // One that has not learned yet that HTTPS is of no use there.
    await world.one.service('transport').stop();
    await world.one.service('transport').start();
    const { mark } = world.one.log.transport;
    const { lost, twice, retried } = await arrive(async () => {
      await nginx.stop();
      await nginx.start();
    });
    t.diagnostic(`${twice.length} came twice`);
    assert.deepEqual([lost, retried], [[], []]);
    const carriers = world.one.log.transport.since(mark).map(line => /sent by (\w+)/.exec(line)?.[1]);
    assert.ok(carriers.includes('HTTPS') && carriers.includes('SMTP'), 'it was in the middle');
    assert.ok(twice.length <= underWay);
  });
});
