// The LMTP client goes away while its message is under way: what has no final dot yet is given up at once, what has one is left to its end,
// and nothing stays behind.

import assert from 'node:assert/strict';
import { afterEach, before, describe, test } from 'node:test';
import { type Answer, cut, type Said, silence } from '../relay/transport-remote.ts';
import { gate, letter, open, World } from '../relay/transport-world.ts';
import { DeadHost } from '../system/dead-host.ts';
import type { Client } from './client.ts';
import { eventually } from './eventually.ts';
import { undoAtEnd } from './tidy.ts';

const domains = ['a.test', 'b.test', 'c.test'];
let smtp: World;
let both: World;
const descriptors = new Map<World, number>();

before(async () => {
  smtp = await World.start({ domains });
  both = await World.start({ domains, https: true });
  for (const world of [smtp, both]) {
    world.world.host('dead.test', '127.0.78.1');
    for (const port of [world.world.smtpPort, world.world.httpsPort]) {
      const dead = await DeadHost.at('127.0.78.1', port);
      undoAtEnd(() => void dead[Symbol.asyncDispose]());
    }
    await passes(world);
    world.remote.hangUp();
    await eventually(() => assert.equal(world.remote.sockets.size, 0));
    descriptors.set(world, await settled(world));
  }
});

afterEach(async () => {
  for (const world of [smtp, both]) {
    world.remote.secure = () => undefined;
    await world.unharmed(descriptors.get(world) ?? 0);
    world.remote.taken.length = 0;
  }
});

/** The number of descriptors once it stays the same. */
async function settled(world: World): Promise<number> {
  let count = -1;
  await eventually(() => {
    const before = count;
    count = world.filter.descriptors().length;
    assert.equal(count, before);
  });
  return count;
}

async function passes(world: World): Promise<void> {
  const client = await world.lmtp();
  await open(client, ['you@a.test']);
  void client.write(letter());
  assert.match(await client.reply(), /^250 2\.0\.0 OK/);
  await client.quit();
}

async function begun(world: World, to: readonly string[], message = letter()): Promise<Client> {
  const client = await world.lmtp();
  assert.match((await open(client, to)).at(-1) ?? '', /^354 /);
  void client.write(message);
  return client;
}

const ways: Record<string, (client: Client) => void> = {
  'hangs up': client => client.socket.destroy(),
  'resets the connection': client => client.reset(),
  'closes its side only': client => client.end(),
};

for (const [how, leave] of Object.entries(ways)) {
  describe(`the client ${how}`, () => {
    for (const [name, lines] of [
      ['after the greeting', []],
      ['after MAIL', ['MAIL FROM:<a@one.test>']],
      ['after RCPT', ['MAIL FROM:<a@one.test>', 'RCPT TO:<you@a.test>']],
      ['after DATA', ['MAIL FROM:<a@one.test>', 'RCPT TO:<you@a.test>', 'DATA']],
    ] as const) {
      test(name, async () => {
        const mark = smtp.remote.heard.length;
        const client = await smtp.lmtp();
        for (const line of lines) await client.ask(line);
        leave(client);
        await client.closed;
        await passes(smtp);
        assert.equal(smtp.remote.heard.slice(mark).filter(line => line === '(message)').length, 1);
      });
    }

    test('in a message that is in a file', async () => {
      const crowd: Client[] = [];
      // More than the memory for all of them, so that some are in files.
      const large = letter(12_000_000);
      for (let n = 0; n < 4; n++) {
        const client = await smtp.lmtp();
        await open(client, ['you@a.test']);
        await client.write(large.subarray(0, -20));
        crowd.push(client);
      }
      await eventually(() => assert.ok(smtp.filter.spoolFiles(smtp.world.site).length > 0));
      for (const client of crowd) leave(client);
      await eventually(() => assert.deepEqual(smtp.filter.spoolFiles(smtp.world.site), []), 3000);
    });

    const isFirst = (verb: Said['verb']) => {
      let seen = false;
      return (said: Said) => {
        if (said.verb !== verb || seen) return false;
        seen = true;
        return true;
      };
    };

    const phases: [name: string, world: () => World, verb: Said['verb'], size: number][] = [
      ['the greeting', () => smtp, 'connect', 300],
      ['EHLO', () => smtp, 'EHLO', 300],
      ['STARTTLS', () => smtp, 'STARTTLS', 300],
      ['MAIL', () => smtp, 'MAIL', 300],
      ['RCPT', () => smtp, 'RCPT', 300],
      ['DATA', () => smtp, 'DATA', 300],
      ['the head of an HTTPS request, the body longer than buffers', () => both, 'POST', 12_000_000],
    ];
    for (const [name, its, verb, size] of phases) {
      test(`while the remote owes the answer to ${name}: its connection is closed, nothing is delivered`, async () => {
        const world = its();
        const { promise: reached, resolve: reach } = gate();
        const { promise: answered, resolve } = gate<Answer>();
        const first = isFirst(verb);
        world.remote.answer = said => {
          if (!first(said)) return undefined;
          reach(undefined);
          return answered;
        };
        const mark = world.remote.heard.length;
        const client = await begun(world, ['you@a.test'], letter(size));
        await reached;
        leave(client);
        await world.filter.descriptorsBackTo(descriptors.get(world) ?? 0, 3000);
        resolve(silence);
        world.remote.answer = () => undefined;
        await passes(world);
        assert.equal(world.remote.taken.length, 1, 'only the one that was sent later');
        if (verb !== 'POST') assert.ok(!world.remote.heard.slice(mark).some(line => line === 'QUIT'), 'no time for it');
      });
    }

    test('while a look-up is under way: the host is not dialled when the answer comes', async () => {
      const { promise, resolve } = gate();
      const domain = `late-${how.length}.test`;
      smtp.world.dns.mx(domain, { answer: [{ preference: 1, exchange: 'mx.a.test' }], after: promise });
      const client = await begun(smtp, [`you@${domain}`]);
      await smtp.world.dns.asked(`MX ${domain}`);
      const { connections } = smtp.remote;
      leave(client);
      await client.closed;
      resolve(undefined);
      await passes(smtp);
      assert.equal(smtp.remote.connections, connections + 1, 'the connection for the message after it');
    });

    test('while HTTPS waits for TLS: the message is not sent when TLS comes', async () => {
      const { promise: reached, resolve: reach } = gate();
      const { promise: late, resolve: go } = gate();
      both.remote.secure = async () => {
        reach(undefined);
        await late;
      };
      const client = await begun(both, ['you@b.test']);
      await reached;
      const open = both.filter.descriptors().length;
      leave(client);
      await client.closed;
      await eventually(() => assert.ok(both.filter.descriptors().length < open, 'the filter has noticed'));
      both.remote.secure = () => undefined;
      go(undefined);
      await passes(both);
      both.remote.hangUp();
      await both.filter.descriptorsBackTo(descriptors.get(both) ?? 0);
      assert.deepEqual(
        both.remote.taken.map(({ to }) => to),
        [['you@a.test']],
        'only the one that was sent later',
      );
    });

    test('while a host that never answers is dialled: its connection is gone at once', async () => {
      for (const world of [smtp, both]) {
        const client = await begun(world, ['you@dead.test']);
        await eventually(() => assert.ok(world.filter.descriptors().length > (descriptors.get(world) ?? 0) + 1));
        leave(client);
        await world.filter.descriptorsBackTo(descriptors.get(world) ?? 0, 2000);
      }
    });

    for (const [carrier, its] of [
      ['SMTP', () => smtp],
      ['HTTPS', () => both],
    ] as const) {
      test(`after the final dot by ${carrier}: the delivery is left to its end, its answer is in the log`, async () => {
        const world = its();
        const { promise, resolve } = gate();
        const first = isFirst('message');
        world.remote.answer = async said => {
          if (first(said)) await promise;
          return undefined;
        };
        const mark = world.remote.heard.length;
        const logged = world.filter.log.mark;
        const client = await begun(world, ['you@b.test']);
        await world.remote.hears(/^\(message\)$/, { mark });
        leave(client);
        await client.closed;
        await passes(world);
        assert.equal(world.remote.taken.length, 1);
        resolve(undefined);
        await world.filter.log.find(new RegExp(`sent by ${carrier} to mx\\.b\\.test.*1 to b\\.test`), logged);
        assert.equal(world.remote.taken.length, 2);
      });
    }
  });
}

test('half of the replies are out when the client goes: what is delivered stays, what is not is given up', async () => {
  const { promise: reached, resolve: reach } = gate();
  smtp.remote.answer = said => {
    if (said.verb !== 'DATA' || !smtp.isAt('b.test', said)) return undefined;
    reach(undefined);
    return silence;
  };
  const mark = smtp.remote.heard.length;
  const client = await begun(smtp, ['one@a.test', 'two@b.test', 'three@a.test']);
  assert.match(await client.reply(), /^250 /);
  await reached;
  client.reset();
  await smtp.remote.hears(/^\(closed\)$/, { mark, withinMs: 3000 });
  assert.deepEqual(
    smtp.remote.taken.map(({ to }) => to),
    [['one@a.test', 'three@a.test']],
  );
});

test('those that wait for their turn go away: the ones that run are not touched, who comes then has the next turn', async () => {
  const { promise, resolve } = gate();
  smtp.remote.answer = async ({ verb }) => {
    if (verb === 'message') await promise;
    return undefined;
  };
  const mark = smtp.remote.heard.length;
  const running = await Promise.all([1, 2, 3, 4].map(n => begun(smtp, [`running${n}@c.test`])));
  await smtp.remote.hears(/^\(message\)$/, { mark, count: 4 });
  const waiting = await Promise.all([1, 2, 3].map(n => begun(smtp, [`waiting${n}@c.test`])));
  const last = await begun(smtp, ['last@c.test']);
  for (const client of waiting) client.reset();
  resolve(undefined);
  for (const client of [...running, last]) assert.match(await client.reply(), /^250 /);
  assert.equal(smtp.remote.taken.length, 5);
  for (const client of [...running, last]) await client.quit();
});

test('300 clients leave in all phases: memory and descriptors are what they were', async () => {
  const before = smtp.filter.memory('VmRSS');
  const verbs: Said['verb'][] = ['EHLO', 'STARTTLS', 'MAIL', 'RCPT', 'DATA'];
  for (let round = 0; round < 30; round++) {
    const verb = verbs[round % verbs.length];
    smtp.remote.answer = said => (said.verb === verb ? (round % 2 === 0 ? silence : cut) : undefined);
    const clients = await Promise.all(Array.from({ length: 10 }, (_, n) => begun(smtp, [`x@${domains[n % 3]}`])));
    for (const client of clients) client.reset();
    smtp.remote.hangUp();
  }
  smtp.remote.answer = () => undefined;
  await eventually(() => assert.deepEqual(smtp.filter.spoolFiles(smtp.world.site), []));
  const grown = smtp.filter.memory('VmRSS') - before;
  assert.ok(grown < 60, `${Math.round(grown)} MiB`);
});
