// Whom HTTPS trusts: a certificate of a known authority for the name of the host, or any where the domain cannot have one.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { createSecureContext } from 'node:tls';
import { Authority } from '../peers/authority.ts';
import { HttpsSender, HttpsServer } from '../peers/https-server.ts';

const authority = new Authority();
const stranger = new Authority('somebody else');
const ca = readFileSync(authority.path, 'latin1');
const good = authority.issue(['mx.two.test']);
after(() => {
  authority[Symbol.dispose]();
  stranger[Symbol.dispose]();
});

const self = {
  key: readFileSync(`${stranger.directory}/ca.key`, 'latin1'),
  cert: readFileSync(stranger.path, 'latin1'),
};

const bad: [name: string, certificate: { key: string; cert: string }, cause: RegExp][] = [
  ['of another name', authority.issue(['mx.three.test']), /altnames|match/i],
  ['of the domain, not the host', authority.issue(['two.test']), /altnames|match/i],
  ['of a wildcard too high', authority.issue(['*.test']), /altnames|match/i],
  ['of the address', authority.issue(['127.0.0.1']), /altnames|match|is not cert's CN/i],
  ['that has expired', authority.issue(['mx.two.test'], -1), /expired/i],
  ['of an unknown authority', stranger.issue(['mx.two.test']), /verify|issuer|unable/i],
  ['signed by itself', self, /self.signed/i],
];

for (const [name, certificate, cause] of bad) {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`a certificate ${name} is refused every time, ${maxVersion}`, { timeout: 10_000 }, async () => {
      await using server = await HttpsServer.listen(certificate, { tls: { maxVersion } });
      using sender = new HttpsSender(server.port, ca);
      // A session of the first connection must not open the second.
      for (let n = 0; n < 3; n++) {
        const result = await sender.deliver();
        assert.ok(!result.delivered && result.useless && !result.alive);
        assert.equal(result.phase, 'TLS');
        assert.match(result.cause, cause);
      }
      assert.equal(server.requests.length, 0);
      await server.until(() => server.open === 0);
    });
  }
}

test('a wildcard for the host will do, and names are compared without case', async () => {
  for (const names of [['*.two.test'], ['other.test', 'mx.two.test'], ['MX.Two.TEST']]) {
    await using server = await HttpsServer.listen(authority.issue(names));
    using sender = new HttpsSender(server.port, ca);
    assert.equal((await sender.deliver()).delivered, true, names.join());
  }
});

test('any certificate will do where that is said', async () => {
  for (const [name, certificate] of bad) {
    await using server = await HttpsServer.listen(certificate);
    using sender = new HttpsSender(server.port, ca);
    assert.equal((await sender.deliver({ host: { anyCertificate: true } })).delivered, true, name);
    assert.equal(server.peers[0]?.serverName, 'mx.two.test');
  }
});

test('a lenient delivery opens no door to a strict one', async () => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    await using server = await HttpsServer.listen(authority.issue(['mx.three.test']), { tls: { maxVersion } });
    using sender = new HttpsSender(server.port, ca);
    for (let n = 0; n < 2; n++) {
      assert.equal((await sender.deliver({ host: { anyCertificate: true } })).delivered, true);
      assert.equal((await sender.deliver()).delivered, false);
    }
  }
});

test('a host that comes back with a bad certificate is refused, with a session of the good one in hand', async () => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    await using server = await HttpsServer.listen(good, { tls: { maxVersion } });
    using sender = new HttpsSender(server.port, ca);
    assert.equal((await sender.deliver()).delivered, true);
    for (const peer of server.peers) peer.reset();
    await server.until(() => server.open === 0);
    server.context = createSecureContext({ ...stranger.issue(['mx.two.test']), maxVersion });
    for (let n = 0; n < 2; n++) assert.equal((await sender.deliver()).delivered, false);
    server.context = createSecureContext({ key: good.key, cert: good.cert, maxVersion });
    assert.equal((await sender.deliver()).delivered, true);
  }
});

test('TLS before 1.2 is refused, for lenient deliveries too', async () => {
  const tls = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
  await using server = await HttpsServer.listen(good, { tls });
  using sender = new HttpsSender(server.port, ca);
  for (const anyCertificate of [false, true]) {
    const result = await sender.deliver({ host: { anyCertificate } });
    assert.ok(!result.delivered && result.phase === 'TLS');
  }
  assert.equal(server.requests.length, 0);
});
