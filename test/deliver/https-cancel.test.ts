// A delivery that nobody wants any more, and one whose time is over: what is not complete on the wire never will be, and nothing is left.
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Authority } from '../peers/authority.ts';
import { accepted, HttpsSender, HttpsServer, type Script } from '../peers/https-server.ts';
import { DeadHost } from '../system/dead-host.ts';

const authority = new Authority();
const ca = readFileSync(authority.path, 'latin1');
const certificate = authority.issue(['mx.two.test']);
after(() => authority[Symbol.dispose]());

const large = `${'0123456789'.repeat(2_000_000)}\r\n`;
const sizes = [
  ['small', 'x\r\n'],
  ['large', large],
] as const;
const prompt = 1000;

function resources(): string {
  return process
    .getActiveResourcesInfo()
    .filter(name => /TCPSocket|TCPConnect|TLS|Timeout|FSReq/.test(name))
    .sort()
    .join();
}

/** What was in use before is again all that is; a leak needs the test's whole time. */
async function resourcesAre(before: string): Promise<void> {
  while (resources() !== before) await turn();
}

/** Where the client is when it is told, and how the test knows. */
const phases: [name: string, script: Script, reached: (server: HttpsServer) => boolean][] = [
  ['TLS', { connection: peer => peer.hold() }, server => server.peers[0]?.greeted === true],
  ['the head', { head: peer => peer.pause(), request: () => undefined }, server => server.requests.length === 1],
];

for (const [phase, script, reached] of phases) {
  for (const [size, wire] of sizes) {
    // A small message is complete together with its head.
    if (phase === 'the head' && size === 'small') continue;
    test(`the client goes away during ${phase}: ${size}`, { timeout: 10_000 }, async () => {
      const before = resources();
      {
        await using server = await HttpsServer.listen(certificate, { script });
        using sender = new HttpsSender(server.port, ca);
        const gone = new AbortController();
        const delivery = sender.deliver({ wire, gone: gone.signal });
        await server.until(() => reached(server));
        const began = performance.now();
        gone.abort();
        const result = await delivery;
        assert.ok(!result.delivered && !result.useless);
        assert.ok(performance.now() - began < prompt, 'it took too long');
        server.peers[0]?.resume();
        await server.until(() => server.open === 0, prompt);
        assert.equal(server.complete.length, 0);
        assert.deepEqual(getEventListeners(gone.signal, 'abort'), []);
      }
      await resourcesAre(before);
    });
  }
}

for (const [size, wire] of sizes) {
  test(`the client goes away during TLS, which then succeeds: no message is sent, ${size}`, {
    timeout: 10_000,
  }, async () => {
    await using server = await HttpsServer.listen(certificate, { script: { connection: peer => peer.hold() } });
    using sender = new HttpsSender(server.port, ca);
    const gone = new AbortController();
    const delivery = sender.deliver({ wire, gone: gone.signal });
    await server.until(() => server.peers[0]?.greeted === true);
    gone.abort();
    server.peers[0]?.secure();
    const result = await delivery;
    assert.equal(result.delivered, false);
    assert.deepEqual(server.complete, []);
  });

  test(`the client goes away before the host has answered the SYN: ${size}`, { timeout: 10_000 }, async () => {
    await using server = await HttpsServer.listen(certificate);
    await using _dead = await DeadHost.at('127.0.0.7', server.port);
    using sender = new HttpsSender(server.port, ca);
    const gone = new AbortController();
    const delivery = sender.deliver({ wire, gone: gone.signal, host: { addresses: ['127.0.0.7'] } });
    await turn();
    const began = performance.now();
    gone.abort();
    const result = await delivery;
    assert.ok(!result.delivered && !result.useless);
    assert.ok(performance.now() - began < prompt);
  });
}

test('the client had gone before', async () => {
  await using server = await HttpsServer.listen(certificate);
  using sender = new HttpsSender(server.port, ca);
  for (let n = 0; n < 2; n++) {
    const result = await sender.deliver({ gone: AbortSignal.abort() });
    assert.ok(!result.delivered && !result.useless);
  }
  assert.deepEqual(server.requests, []);
});

test('the client goes away when all is out: the answer still counts, and the connection is kept', async () => {
  await using server = await HttpsServer.listen(certificate, { script: { request: () => undefined } });
  using sender = new HttpsSender(server.port, ca);
  const gone = new AbortController();
  const delivery = sender.deliver({ gone: gone.signal });
  await server.until(() => server.complete.length === 1);
  gone.abort();
  await turn();
  server.peers[0]?.write(accepted);
  assert.equal((await delivery).delivered, true);
  assert.deepEqual(getEventListeners(gone.signal, 'abort'), []);
});

test('a message that went into a stale connection is not sent again for a client that has gone', async () => {
  await using server = await HttpsServer.listen(certificate);
  using sender = new HttpsSender(server.port, ca);
  assert.equal((await sender.deliver()).delivered, true);
  const [old] = server.peers;
  server.script = { request: peer => (peer === old ? undefined : peer.write(accepted)) };
  const gone = new AbortController();
  const delivery = sender.deliver({ gone: gone.signal });
  await server.until(() => server.complete.length === 2);
  assert.equal(server.peers.length, 1, 'the connection was kept');
  gone.abort();
  old?.reset();
  await delivery;
  assert.equal(server.complete.length, 2);
});

test('the deadline passes during TLS: no message is sent', { timeout: 10_000 }, async () => {
  for (const [, wire] of sizes) {
    let now = 0;
    await using server = await HttpsServer.listen(certificate, { script: { connection: peer => peer.hold() } });
    using sender = new HttpsSender(server.port, ca);
    const delivery = sender.deliver({ wire, clock: () => now, deadline: 100_000 });
    await server.until(() => server.peers[0]?.greeted === true);
    now = 100_001;
    server.peers[0]?.secure();
    const result = await delivery;
    assert.equal(result.delivered, false);
    assert.deepEqual(server.complete, []);
  }
});

test('the deadline passes while the body is being sent: the last octets stay here', { timeout: 10_000 }, async () => {
  let now = 0;
  await using server = await HttpsServer.listen(certificate, { script: { head: peer => peer.pause() } });
  using sender = new HttpsSender(server.port, ca);
  const delivery = sender.deliver({ wire: large, clock: () => now, deadline: 100_000 });
  await server.until(() => server.requests.length === 1);
  now = 100_001;
  server.peers[0]?.resume();
  const result = await delivery;
  assert.equal(result.delivered, false);
  await server.until(() => server.open === 0);
  assert.equal(server.complete.length, 0);
});

test('the deadline timer ends a body that does not get on', { timeout: 10_000 }, async () => {
  await using server = await HttpsServer.listen(certificate, { script: { head: peer => peer.pause() } });
  using sender = new HttpsSender(server.port, ca);
  const began = performance.now();
  const result = await sender.deliver({ wire: large, deadline: began + 300 });
  assert.ok(!result.delivered);
  assert.ok(performance.now() - began < 300 + prompt);
  server.peers[0]?.resume();
  await server.until(() => server.open === 0, prompt);
});

test('random cancellations: a message is complete at the server or it is not delivered, and nothing is left', {
  timeout: 20_000,
}, async () => {
  const before = resources();
  {
    await using server = await HttpsServer.listen(certificate, { keepsBodies: false });
    using sender = new HttpsSender(server.port, ca);
    for (let n = 0; n < 60; n++) {
      const gone = new AbortController();
      const wire = `${'0123456789'.repeat(n % 3 === 0 ? 300_000 : 10)}\r\n`;
      const delivery = sender.deliver({ wire, gone: gone.signal, budget: 0 });
      for (let turns = 0; turns < n; turns++) await turn();
      const completeThen = server.complete.length;
      gone.abort();
      const { delivered } = await delivery;
      if (delivered) assert.ok(server.complete.length > 0);
      else assert.equal(server.complete.length, completeThen);
      assert.deepEqual(getEventListeners(gone.signal, 'abort'), []);
    }
  }
  await resourcesAre(before);
});
