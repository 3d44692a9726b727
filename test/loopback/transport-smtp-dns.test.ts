// What DNS tells of a domain, well or ill, and what becomes of its mail.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { freePort } from '../peers/ports.ts';
import { TlsSmtpServer } from '../peers/tls-smtp-server.ts';
import { plain } from './mail.ts';
import { undoAtEnd } from './tidy.ts';
import { deliver, TransportSite } from './transport-site.ts';

let world: TransportSite;
before(async () => {
  world = await TransportSite.start();
});

const delivered = '250 2.0.0 OK (SMTP)';

test('what DNS says for good bounces, what it does not say is temporary', async () => {
  world.dns.mx('null.test', [{ preference: 0, exchange: '.' }]);
  world.dns.mx('servfail.test', 'SERVFAIL');
  world.dns.mx('refused.test', 'REFUSED');
  world.dns.cname('circle1.test', ['circle2.test']);
  world.dns.cname('circle2.test', ['circle1.test']);
  world.route('lame-host.test', 'servfail.hosts.test');
  world.dns.a('servfail.hosts.test', 'SERVFAIL');
  world.dns.aaaa('servfail.hosts.test', 'SERVFAIL');
  for (const [domain, expected] of [
    ['null.test', /^556 5\.1\.10 /],
    ['nowhere.test', /^550 5\.1\.2 /],
    ['servfail.test', /^451 4\.4\.3 /],
    ['refused.test', /^451 4\.4\.3 /],
    ['circle1.test', /^451 4\.4\.3 /],
    ['lame-host.test', /^451 4\.4\.[13] .*servfail\.hosts\.test/],
    [`${'x'.repeat(64)}.test`, /^550 5\.1\.2 /],
    ['double..dot.test', /^(?:501 5\.1\.3|550 5\.1\.2) /],
  ] as const) {
    const answer = await world.answerFrom(domain);
    assert.match(answer, expected, domain);
    assert.ok((await world.told(domain)).includes(answer.slice(0, 9)), domain);
  }
});

test('hostile DNS: no host but those with a name, no loop, no more than 10, and never ourselves', async () => {
  const good = await world.remote();
  const serving = world.freeAddress();
  const server = await TlsSmtpServer.at(serving, world.smtpPort, { certificate: world.certificate });
  undoAtEnd(() => void server.close());
  world.dns.mx('literal.test', [
    { preference: 1, exchange: serving },
    { preference: 2, exchange: good.host },
  ]);
  assert.equal(await world.answerFrom('literal.test'), delivered);
  assert.equal(server.talks.length, 0, 'no address in text');
  world.dns.mx('literals.test', [{ preference: 1, exchange: serving }]);
  assert.match(await world.answerFrom('literals.test'), /^550 5\.4\.4 /);

  world.route('us.test', 'ONE.test', good.host);
  assert.match(await world.answerFrom('us.test'), /^550 5\.4\.6 /);

  // The MX of an MX is nobody's business.
  world.route('loop.test', 'loop.test');
  world.dns.a('loop.test', 'NODATA');
  assert.match(await world.answerFrom('loop.test'), /^(?:451|550) /);

  world.dns.mx('null-beside.test', [
    { preference: 0, exchange: '.' },
    { preference: 5, exchange: good.host },
  ]);
  assert.equal(await world.answerFrom('null-beside.test'), delivered);

  const thousand = Array.from({ length: 1000 }, (_, n) => ({ preference: n, exchange: `x${n}.none.test` }));
  world.dns.mx('thousand.test', thousand);
  const before = world.dns.questions.length;
  assert.match(await world.answerFrom('thousand.test'), /^(?:451|550) /);
  const hosts = new Set(
    world.dns.questions
      .slice(before)
      .filter(question => / x\d+\.none\.test$/.test(question))
      .map(text => text.split(' ')[1]),
  );
  assert.deepEqual(hosts.size, 10);

  const addresses = Array.from({ length: 300 }, (_, n) => `127.3.0.${n % 250}`);
  world.dns.a('crowd.hosts.test', addresses);
  world.dns.aaaa('crowd.hosts.test', 'NODATA');
  world.route('crowd.test', 'crowd.hosts.test', good.host);
  assert.equal(await world.answerFrom('crowd.test'), delivered);
});

test('a host without an address, or whose addresses DNS does not tell, makes room for the next', async () => {
  const good = await world.remote();
  world.dns.a('sf.hosts.test', 'SERVFAIL');
  world.dns.aaaa('sf.hosts.test', 'SERVFAIL');
  world.dns.a('empty.hosts.test', 'NODATA');
  world.route('gaps.test', 'nowhere.hosts.test', 'sf.hosts.test', 'empty.hosts.test', good.host);
  assert.equal(await world.answerFrom('gaps.test'), delivered);
});

test('a name server that is silent about one family costs half a second', async () => {
  const good = await world.remote();
  world.dns.a('half.hosts.test', [good.address]);
  world.dns.aaaa('half.hosts.test', 'silence');
  world.route('half.test', 'half.hosts.test');
  const began = performance.now();
  assert.equal(await world.answerFrom('half.test'), delivered);
  assert.ok(performance.now() - began < 1500);
});

test('a domain whose MX is the port on which we take mail goes round no circle', async () => {
  const port = await freePort();
  const own = await TransportSite.start({ smtpPort: port, keys: { filtermail_lmtp_port_transport: port } });
  own.host('circle.test', '127.0.0.1');
  own.host('nauta.cu', '127.0.0.1');
  for (const domain of ['circle.test', 'nauta.cu', '[127.0.0.1]']) {
    const [reply = ''] = await deliver(port, plain('Hello', 'a@one.test', [`u@${domain}`]));
    assert.match(reply, /^451 4\.4\.1 \S+: EHLO: 502 /);
  }
  await own.filter.stop();
});

test('an internationalized domain: look-ups and SNI in A-labels, the address as it was', async () => {
  const good = await world.remote();
  const octets = Buffer.from('bücher.test').toString('latin1');
  world.route('xn--bcher-kva.test', good.host);
  assert.equal(await world.answerFrom(octets, ' SMTPUTF8'), delivered);
  assert.ok(good.server.talk(0).commands.includes(`RCPT TO:<u@${octets}>`), 'the address is kept');
  assert.equal(await world.answerFrom('XN--BCHER-KVA.test'), delivered);
});

test('the log is whole', async () => {
  await world.filter.stop();
});
