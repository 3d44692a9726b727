// Many and large messages over HTTP at once, and more clients than there are descriptors. Each test has a process of its own.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DnsServer } from '../peers/dns-server.ts';
import { Signer } from '../peers/signer.ts';
import { sealed } from '../relay/mail.ts';
import { assertLog } from './binary.ts';
import { sendOne } from './client.ts';
import { eventually } from './eventually.ts';
import { chunked, counted, HttpClient, head, short } from './http-client.ts';
import { HttpVictim, taken } from './http-victim.ts';
import { encrypted } from './mail.ts';
import { sha256 } from './next-hop.ts';

test('twenty signed messages of 30 MB at once: in spool files, below 170 MiB, octet for octet', async () => {
  await using dns = await DnsServer.listen();
  const signer = new Signer('two.test');
  dns.txt(signer.name, [signer.record]);
  const victim = await HttpVictim.start({ filtermail_dns_servers: dns.address });
  const message = await signer.sign(sealed({ from: 'mallory@two.test', size: 22_000_000 }));
  assert.ok(message.length > 29_000_000 && message.length < 31_457_280);
  let spoolFiles = 0;
  const look = setInterval(() => {
    spoolFiles = Math.max(spoolFiles, victim.filter.spoolFiles(victim.site).length);
  }, 20);
  const request = counted(message, { from: 'mallory@two.test' });
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => victim.ask(request)));
  clearInterval(look);
  for (const outcome of outcomes) assert.deepEqual(outcome, taken);
  const arrived = victim.hop.take();
  const digest = sha256(message);
  assert.deepEqual(
    arrived.map(({ sha256 }) => sha256),
    Array<string>(20).fill(digest),
  );
  assert.ok(spoolFiles > 0, 'spool files');
  const highest = Math.round(victim.filter.memory('VmHWM'));
  assert.ok(highest < 170, `${highest} MiB`);
  await victim.unharmed();
});

// One of these has to wait for 10 s.
describe('beside each other', { concurrency: true }, () => {
  describe('clients that go away', () => {
    test('two hundred in large bodies, counted and chunked: nothing arrives, nothing is left', async () => {
      const victim = await HttpVictim.start();
      await victim.passes();
      const large = short('z'.repeat(3_000_000));
      for (let round = 0; round < 5; round++) {
        const clients = await Promise.all(Array.from({ length: 40 }, () => victim.connect()));
        await Promise.all(
          clients.map((client, n) => {
            const request = n % 2 === 0 ? counted(large) : chunked([large]);
            return client.write(request.subarray(0, n % 4 < 2 ? 1_000_000 : request.length - 1));
          }),
        );
        for (const [n, client] of clients.entries()) {
          if (n % 3 === 0) client.reset();
          else client.socket.destroy();
          await client.closed;
        }
      }
      victim.arrived();
      await victim.unharmed();
    });

    test('while the next hop takes its time: it is told to forget, and the connection to it is dropped', async () => {
      const victim = await HttpVictim.start();
      victim.hop.answer = ({ verb }) => (verb === 'RCPT' ? null : undefined);
      const clients = await Promise.all(Array.from({ length: 20 }, () => victim.connect()));
      const mark = victim.hop.heard.length;
      for (const client of clients) void client.write(counted(short()));
      await eventually(() => assert.ok(victim.hop.heard.filter(line => line.startsWith('RCPT')).length >= 20));
      for (const client of clients) client.reset();
      await victim.hop.hears(/^\(closed\)/, mark);
      await eventually(() => assert.equal(victim.hop.sockets.size, 0));
      victim.hop.answer = () => undefined;
      assert.ok(!victim.hop.heard.includes('(message)'));
      victim.arrived();
      await victim.unharmed();
    });
  });

  test('two thousand pipelined messages do not take more of the next hop than connections would', async () => {
    const victim = await HttpVictim.start();
    victim.hop.answer = ({ verb }) => (verb === 'RCPT' ? null : undefined);
    const client = await victim.connect();
    await client.write(Buffer.concat(Array.from({ length: 2000 }, (_, n) => counted(short(`${n}`)))));
    await eventually(() => assert.deepEqual(victim.filter.unread(victim.site.httpPort), [0]));
    await victim.hop.hears(/^RCPT/);
    client.reset();
    await eventually(() => assert.equal(victim.hop.sockets.size, 0));
    victim.hop.answer = () => undefined;
    assert.ok(victim.hop.connections <= 100, `${victim.hop.connections} connections for one client`);
    victim.arrived();
    await victim.unharmed();
  });

  describe('clients that do not read their answers', () => {
    for (const [name, request] of [
      ['GET', head({ method: 'GET' })],
      ['POST without recipient', counted(short(), { to: [] })],
    ] as const) {
      test(`four, each with 2 MB of ${name}`, async () => {
        const victim = await HttpVictim.start();
        await victim.passes();
        const flood = Buffer.concat(Array<Buffer>(Math.ceil(2_000_000 / request.length)).fill(request));
        const clients = await Promise.all(Array.from({ length: 4 }, () => victim.connect()));
        for (const client of clients) {
          client.socket.pause();
          void client.write(flood);
        }
        let before = '';
        let looks = 0;
        await eventually(() => {
          const unsent = clients.map(({ socket }) => socket.writableLength);
          const now = [...unsent, ...victim.filter.unread(victim.site.httpPort)].join(' ');
          looks = now === before ? looks + 1 : 0;
          before = now;
          assert.ok(looks >= 25, now);
        }, 30_000);
        const highest = Math.round(victim.filter.memory('VmHWM'));
        for (const client of clients) client.reset();
        // Most of it is what the garbage collector leaves lying about while so many requests are answered.
        assert.ok(highest < 260, `${highest} MiB`);
        await victim.unharmed(260);
      });
    }
  });

  test('more clients than descriptors: those that are in are served, SMTP too, and later all are', async () => {
    const through = ['sh', '-c', 'ulimit -n 200; exec "$@"', 'sh'];
    const victim = await HttpVictim.start({}, { through });
    const most = Math.floor((200 - 40) / 3 / 2);
    const { httpPort, incomingPort } = victim.site;
    const clients = await Promise.all(Array.from({ length: most + 30 }, () => HttpClient.connect(httpPort)));
    const inside = clients.slice(0, most);
    for (const client of clients.slice(most)) await client.over;
    for (const client of inside) assert.deepEqual(await client.ask(counted(short())), taken);
    const mail = encrypted({ from: 'mallory@[192.0.2.7]' }, { to: ['vic@one.test'] });
    assert.match(await sendOne(incomingPort, mail), /^250 /);
    victim.hop.take();
    await victim.filter.log.find(/^ERROR Incoming: cannot accept a connection: 26 are open/);
    for (const client of clients) client.reset();
    await eventually(() => assert.ok(victim.filter.descriptors().length < victim.descriptors + 30));
    await victim.passes();
    assertLog(victim.filter.log.all);
    await victim.filter.stop();
  });

  describe('told to stop', { concurrency: true }, () => {
    test('idle connections end at once, a message under way is taken and its answer is the last', async () => {
      const victim = await HttpVictim.start();
      const [fresh, idle, judged, halfway] = [
        await victim.connect(),
        await victim.connect(),
        await victim.connect(),
        await victim.connect(),
      ];
      assert.deepEqual(await idle.ask(counted(short('idle'))), taken);
      let release = (): void => undefined;
      victim.hop.answer = ({ verb, socket }) => {
        if (verb !== 'message') return undefined;
        release = () => void socket.write('250 2.0.0 Ok: queued as 42\r\n');
        return null;
      };
      const mark = victim.hop.heard.length;
      void judged.write(counted(short('judged')));
      await victim.hop.hears(/^\(message\)/, mark);
      const request = counted(short('halfway'));
      await halfway.write(request.subarray(0, -9));
      victim.filter.signal('SIGTERM');
      const began = performance.now();
      for (const client of [fresh, idle]) await client.over;
      assert.ok(performance.now() - began < 2000, 'idle ones end at once');
      victim.hop.answer = () => undefined;
      release();
      await halfway.write(request.subarray(-9));
      for (const client of [judged, halfway]) {
        const answer = await client.answer();
        assert.deepEqual([answer?.status, answer?.body, answer?.headers.get('connection')], [...taken, 'close']);
        await client.over;
      }
      await victim.filter.stop();
      assert.ok(performance.now() - began < 5000);
      victim.arrived(short('idle'), short('halfway'));
    });

    test('a body that never ends is cut after 10 s, nothing of it arrives', async () => {
      const victim = await HttpVictim.start();
      const client = await victim.connect();
      await client.write(counted(short('z'.repeat(100_000))).subarray(0, 50_000));
      await eventually(() => assert.deepEqual(victim.filter.unread(victim.site.httpPort), [0]));
      victim.filter.signal('SIGTERM');
      const began = performance.now();
      await client.over;
      assert.equal(await victim.filter.ended(), 0);
      const took = performance.now() - began;
      assert.ok(took > 9000 && took < 13_000, `${Math.round(took)} ms`);
      victim.arrived();
    });

    test('who was refused does not hold the end up', async () => {
      const victim = await HttpVictim.start();
      for (const request of [
        counted(short(), { to: [], lines: ['Expect: 100-continue'] }).subarray(0, -short().length),
        counted(short(), { method: 'PUT' }),
      ]) {
        const client = await victim.connect();
        const status = (await client.ask(request))?.[0];
        assert.ok(status === 400 || status === 405);
        client.reset();
      }
      await victim.unharmed();
    });
  });
});
