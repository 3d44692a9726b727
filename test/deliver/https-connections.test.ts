// Connections are kept and used again, sessions resumed, and a kept connection that the server has closed costs nothing.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { Authority } from '../peers/authority.ts';
import { accepted, answer, type HttpsPeer, HttpsSender, HttpsServer, type Script } from '../peers/https-server.ts';

const authority = new Authority();
const ca = readFileSync(authority.path, 'latin1');
const certificate = authority.issue(['mx.two.test']);
after(() => authority[Symbol.dispose]());

const large = `${'0123456789'.repeat(500_000)}\r\n`;

test('messages one after the other go over one connection', async () => {
  await using server = await HttpsServer.listen(certificate);
  using sender = new HttpsSender(server.port, ca);
  for (let n = 0; n < 5; n++) assert.equal((await sender.deliver()).delivered, true);
  assert.deepEqual([server.peers.length, server.requests.length], [1, 5]);
});

test('large messages too, and after refusals', async () => {
  await using server = await HttpsServer.listen(certificate);
  using sender = new HttpsSender(server.port, ca);
  server.script = { request: peer => peer.write(answer(400, '523 5.7.10 Encryption Needed')) };
  for (const wire of [large, 'x\r\n', large]) assert.equal((await sender.deliver({ wire })).delivered, false);
  assert.deepEqual([server.peers.length, server.requests.length], [1, 3]);
});

test('at most 4 connections are kept for a host, and they are the ones used next', async () => {
  await using server = await HttpsServer.listen(certificate);
  using sender = new HttpsSender(server.port, ca);
  server.script = { request: () => undefined };
  const many = Array.from({ length: 7 }, () => sender.deliver());
  await server.until(() => server.complete.length === 7);
  assert.equal(server.peers.length, 7);
  server.script = {};
  for (const peer of server.peers) peer.write(accepted);
  for (const { delivered } of await Promise.all(many)) assert.equal(delivered, true);
  await server.until(() => server.open <= 4);
  assert.equal(server.open, 4);
  await Promise.all(Array.from({ length: 4 }, () => sender.deliver()));
  assert.equal(server.peers.length, 7);
});

test('a connection is not kept when the server says that it closes it', async () => {
  for (const said of [
    answer(200, '250 2.0.0 OK', 'Connection: close'),
    'HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\n250 OK',
  ]) {
    await using server = await HttpsServer.listen(certificate, { script: { request: peer => peer.write(said) } });
    using sender = new HttpsSender(server.port, ca);
    for (let n = 0; n < 2; n++) assert.equal((await sender.deliver()).delivered, true);
    assert.equal(server.peers.length, 2);
    await server.until(() => server.open === 0);
  }
});

test('an idle connection is closed before the server would close it', async () => {
  const script: Script = { request: peer => peer.write(answer(200, '250 OK', 'Keep-Alive: timeout=2')) };
  await using server = await HttpsServer.listen(certificate, { script });
  using sender = new HttpsSender(server.port, ca);
  for (let n = 0; n < 2; n++) assert.equal((await sender.deliver()).delivered, true);
  assert.deepEqual([server.peers.length, server.open], [1, 1]);
  await server.until(() => server.open === 0, 3000);
});

test('a new connection resumes the session of the one before', async () => {
  for (const tls of [{ maxVersion: 'TLSv1.2' }, { minVersion: 'TLSv1.3' }] as const) {
    const script: Script = { request: peer => peer.write(answer(200, '250 OK', 'Connection: close')) };
    await using server = await HttpsServer.listen(certificate, { script, tls });
    using sender = new HttpsSender(server.port, ca);
    for (let n = 0; n < 3; n++) assert.equal((await sender.deliver()).delivered, true);
    assert.deepEqual(
      server.peers.map(({ resumed }) => resumed),
      [false, true, true],
    );
  }
});

test('hosts do not share connections, and neither do strict and lenient deliveries', async () => {
  const both = authority.issue(['mx.two.test', 'mx.three.test']);
  await using server = await HttpsServer.listen(both);
  using sender = new HttpsSender(server.port, ca);
  for (const host of [
    { name: 'mx.two.test' },
    { name: 'mx.three.test' },
    { name: 'mx.two.test', anyCertificate: true },
    { name: 'mx.three.test', anyCertificate: true },
  ]) {
    for (let n = 0; n < 2; n++) assert.equal((await sender.deliver({ host })).delivered, true);
  }
  assert.deepEqual(
    server.peers.map(({ requests }) => requests.length),
    [2, 2, 2, 2],
  );
});

const wires = [
  ['a small message', 'x\r\n'],
  ['a large message', large],
] as const;

for (const [what, wire] of wires) {
  for (const how of ['end', 'reset'] as const) {
    test(`a kept connection that the server has closed before (${how}) is replaced: ${what}`, async () => {
      await using server = await HttpsServer.listen(certificate);
      using sender = new HttpsSender(server.port, ca);
      assert.equal((await sender.deliver()).delivered, true);
      // What comes next is sent before the client can know of it.
      server.peers[0]?.[how]();
      assert.deepEqual(await sender.deliver({ wire }), { delivered: true, address: '127.0.0.1', tls: 'TLSv1.3' });
      assert.equal(server.peers.length, 2);
      assert.deepEqual(
        server.peers[1]?.requests.map(({ body }) => body.toString('latin1')),
        [wire],
      );
    });
  }

  for (const stage of ['head', 'request'] as const) {
    for (const how of ['end', 'reset'] as const) {
      test(`a kept connection that ends unanswered at the ${stage} (${how}) is replaced: ${what}`, async () => {
        await using server = await HttpsServer.listen(certificate);
        using sender = new HttpsSender(server.port, ca);
        assert.equal((await sender.deliver()).delivered, true);
        const [old] = server.peers;
        const broken: Script = { [stage]: (peer: HttpsPeer) => (peer === old ? peer[how]() : undefined) };
        server.script =
          stage === 'head' ? broken : { request: peer => (peer === old ? peer[how]() : peer.write(accepted)) };
        assert.equal((await sender.deliver({ wire })).delivered, true);
        assert.deepEqual([server.peers.length, server.peers[0]?.requests.length], [2, 2]);
        assert.equal(server.peers[1]?.requests[0]?.body.toString('latin1'), wire);
      });
    }
  }
}

test('with four stale connections each of four messages is still delivered once', async () => {
  await using server = await HttpsServer.listen(certificate);
  using sender = new HttpsSender(server.port, ca);
  server.script = { request: () => undefined };
  const first = Array.from({ length: 4 }, () => sender.deliver());
  await server.until(() => server.complete.length === 4);
  for (const peer of server.peers) peer.write(accepted);
  await Promise.all(first);
  const old = new Set(server.peers);
  server.script = {
    head: peer => (old.has(peer) ? peer.reset() : undefined),
    request: peer => (old.has(peer) ? undefined : peer.write(accepted)),
  };
  const results = await Promise.all(Array.from({ length: 4 }, (_, n) => sender.deliver({ wire: `${n}\r\n` })));
  for (const { delivered } of results) assert.equal(delivered, true);
  const fresh = server.peers.filter(peer => !old.has(peer)).flatMap(({ requests }) => requests);
  assert.deepEqual(fresh.map(({ body }) => body.toString('latin1')).sort(), ['0\r\n', '1\r\n', '2\r\n', '3\r\n']);
});

test('a connection that breaks for the second time is a failure: there is no third', async () => {
  await using server = await HttpsServer.listen(certificate);
  using sender = new HttpsSender(server.port, ca);
  assert.equal((await sender.deliver()).delivered, true);
  server.script = { request: peer => peer.end() };
  assert.equal((await sender.deliver()).delivered, false);
  assert.equal(server.requests.length, 3);
});

test('a new connection that breaks is a failure at once', async () => {
  await using server = await HttpsServer.listen(certificate, { script: { request: peer => peer.end() } });
  using sender = new HttpsSender(server.port, ca);
  const result = await sender.deliver();
  assert.ok(!result.delivered && result.useless && !result.alive);
  assert.equal(server.requests.length, 1);
});

test('what a server says between two messages answers neither', async () => {
  for (const unasked of [accepted, 'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n', 'x']) {
    await using server = await HttpsServer.listen(certificate);
    using sender = new HttpsSender(server.port, ca);
    assert.equal((await sender.deliver()).delivered, true);
    const [old] = server.peers;
    old?.write(unasked);
    await server.until(() => old?.isOpen === false);
    server.script = { request: peer => peer.write(answer(400, '550 5.1.1 no')) };
    const result = await sender.deliver();
    assert.ok(!result.delivered && result.cause === '400 550 5.1.1 no');
  }
});

test('a second answer right behind the first ends the connection', async () => {
  await using server = await HttpsServer.listen(certificate, {
    script: { request: peer => peer.write(`${accepted}${accepted}`) },
  });
  using sender = new HttpsSender(server.port, ca);
  assert.equal((await sender.deliver()).delivered, true);
  await server.until(() => server.open === 0);
  server.script = { request: peer => peer.write(answer(400, '550 5.1.1 no')) };
  assert.equal((await sender.deliver()).delivered, false);
});
