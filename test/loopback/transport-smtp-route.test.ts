// Where the mail for a domain goes by SMTP: the hosts in their order, the addresses of a host.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Certificate } from '../peers/authority.ts';
import { type Plan, TlsSmtpServer } from '../peers/tls-smtp-server.ts';
import { DeadHost } from '../system/dead-host.ts';
import { eventually } from './eventually.ts';
import { undoAtEnd } from './tidy.ts';
import { TransportSite } from './transport-site.ts';

let world: TransportSite;
before(async () => {
  world = await TransportSite.start();
});

const delivered = '250 2.0.0 OK (SMTP)';

async function serverAt(
  address: string,
  plan?: Plan,
  certificate: Certificate = world.certificate,
): Promise<TlsSmtpServer> {
  const server = await TlsSmtpServer.at(address, world.smtpPort, {
    certificate,
    ...(plan === undefined ? {} : { plan }),
  });
  undoAtEnd(() => void server.close());
  return server;
}

test('the MX of the lowest preference is used', async () => {
  const [one, two, three] = [await world.remote(), await world.remote(), await world.remote()];
  world.dns.mx('preference.test', [
    { preference: 30, exchange: one.host },
    { preference: 5, exchange: two.host },
    { preference: 20, exchange: three.host },
  ]);
  assert.equal(await world.answerFrom('preference.test'), delivered);
  assert.deepEqual(
    [one, two, three].map(({ server }) => server.talks.length),
    [0, 1, 0],
  );
});

test('a host that cannot be used makes room for the next, and the log tells why', async t => {
  const refusals: readonly [name: string, Plan, phase: string][] = [
    ['greeting 421', stage => (stage === 'greeting' ? '421 4.3.2 full' : undefined), 'greeting: 421 4.3.2 full'],
    ['greeting 450', stage => (stage === 'greeting' ? '450 4.3.2 no' : undefined), 'greeting: 450 4.3.2 no'],
    ['greeting 554', stage => (stage === 'greeting' ? '554 5.3.2 no' : undefined), 'greeting: 554 5.3.2 no'],
    ['EHLO 502', stage => (stage === 'EHLO' ? '502 5.5.1 no' : undefined), 'EHLO: 502 5.5.1 no'],
    ['STARTTLS 454', stage => (stage === 'STARTTLS' ? '454 4.7.0 no' : undefined), 'STARTTLS: 454 4.7.0 no'],
    ['no STARTTLS', stage => (stage === 'EHLO' ? '250 hi' : undefined), 'STARTTLS: the server does not offer STARTTLS'],
    ['hangup', stage => (stage === 'greeting' ? { and: 'close' } : undefined), 'greeting: the server closed'],
    ['nonsense', stage => (stage === 'STARTTLS' ? { raw: '220 go\r\nboo' } : undefined), 'STARTTLS: '],
  ];
  for (const [index, [name, plan, phase]] of refusals.entries()) {
    await t.test(name, async () => {
      const domain = `next${index}.test`;
      const [bad, good] = [await world.remote({ plan }), await world.remote()];
      world.route(domain, bad.host, good.host);
      const mark = world.filter.log.mark;
      assert.equal(await world.answerFrom(domain), delivered);
      assert.deepEqual([bad.server.messages.length, good.server.messages.length], [0, 1]);
      assert.match(await world.told(domain, mark), new RegExp(`sent by SMTP to ${good.host}`));
      world.dns.mx(`alone${index}.test`, [{ preference: 1, exchange: bad.host }]);
      const alone = await world.answerFrom(`alone${index}.test`);
      assert.match(alone, /^451 4\./);
      assert.ok(alone.includes(`${bad.host}[${bad.address}]: ${phase}`), alone);
    });
  }
  await t.test('nobody listens', async () => {
    const good = await world.remote();
    const nobody = world.freeAddress();
    world.address('nobody.hosts.test', nobody);
    world.route('nobody.test', 'nobody.hosts.test', good.host);
    assert.equal(await world.answerFrom('nobody.test'), delivered);
  });
  await t.test('a bad certificate', async () => {
    const bad = await world.remote({ certificate: world.authority.issue(['elsewhere.test']) });
    const good = await world.remote();
    world.route('badcert.test', bad.host, good.host);
    assert.equal(await world.answerFrom('badcert.test'), delivered);
    assert.equal(bad.server.messages.length, 0);
  });
});

test('an answer to the mail is final: no other host is asked', async () => {
  for (const [index, said] of ['451 4.3.0 later', '550 5.7.1 no', '421 4.3.2 bye'].entries()) {
    const refusal = await world.remote({ plan: stage => (stage === 'MAIL' ? said : undefined) });
    const other = await world.remote();
    world.route(`final${index}.test`, refusal.host, other.host);
    assert.match(
      await world.answerFrom(`final${index}.test`),
      new RegExp(`${said.slice(4)} \\(${refusal.host} said\\)`),
    );
    assert.equal(other.server.talks.length, 0);
  }
});

test('all addresses of a host are dialled at once: those that are dead cost nothing', async () => {
  const dead = world.freeAddress();
  await using _four = await DeadHost.at(dead, world.smtpPort);
  await using _six = await DeadHost.at('::1', world.smtpPort);
  const [closed, good] = [world.freeAddress(), world.freeAddress()];
  const server = await serverAt(good);
  world.address('many.hosts.test', '::1', dead, closed, good);
  world.route('many.test', 'many.hosts.test');
  const began = performance.now();
  assert.equal(await world.answerFrom('many.test'), delivered);
  assert.ok(performance.now() - began < 1500, 'without waiting');
  assert.equal(server.talks.length, 1);
  assert.match(await world.told('many.test'), new RegExp(`sent by SMTP to many\\.hosts\\.test\\[${good}\\]`));
});

test('of the addresses that connect one is used, the other connections are closed unused', async () => {
  const servers: TlsSmtpServer[] = [];
  const addresses = [1, 2, 3, 4].map(() => world.freeAddress());
  for (const address of addresses) servers.push(await serverAt(address));
  world.address('four.hosts.test', ...addresses);
  world.route('four.test', 'four.hosts.test');
  assert.equal(await world.answerFrom('four.test'), delivered);
  await eventually(() =>
    assert.equal(
      servers.reduce((sum, { open }) => sum + open, 0),
      1,
    ),
  );
  assert.equal(servers.flatMap(({ talks }) => talks.flatMap(({ plain }) => plain?.commands ?? [])).length, 2);
});

test('an address that connects and then fails does not keep the others from being tried', async () => {
  const bad = world.authority.issue(['elsewhere.test']);
  const plans: readonly [name: string, Plan | undefined, Certificate][] = [
    ['tls', undefined, bad],
    ['greeting', stage => (stage === 'greeting' ? '554 5.3.2 no' : undefined), world.certificate],
    ['hello', stage => (stage === 'EHLO' ? { and: 'reset' } : undefined), world.certificate],
  ];
  for (const [name, plan, certificate] of plans) {
    const addresses = [1, 2, 3].map(() => world.freeAddress());
    const [one = '', two = '', three = ''] = addresses;
    const servers = [await serverAt(one, plan, certificate), await serverAt(two, plan, certificate)];
    const good = await serverAt(three);
    const next = await world.remote();
    world.address(`${name}.hosts.test`, ...addresses);
    world.route(`${name}-addresses.test`, `${name}.hosts.test`, next.host);
    assert.equal(await world.answerFrom(`${name}-addresses.test`), delivered);
    assert.deepEqual([good.messages.length, next.server.talks.length], [1, 0], name);
    assert.ok(servers.every(({ messages }) => messages.length === 0));
  }
});

test('a host with ::1 alone, and beside IPv4', async () => {
  const six = await serverAt('::1');
  world.address('six.hosts.test', '::1');
  world.route('six.test', 'six.hosts.test');
  assert.equal(await world.answerFrom('six.test'), delivered);
  assert.match(await world.told('six.test'), /six\.hosts\.test\[::1\]/);
  world.address('both.hosts.test', '::1', world.freeAddress());
  world.route('both.test', 'both.hosts.test');
  assert.equal(await world.answerFrom('both.test'), delivered);
  assert.equal(six.messages.length, 2);
  await six.close();
});

test('without MX the domain itself is the host; aliases are followed', async () => {
  const address = world.freeAddress();
  const server = await serverAt(
    address,
    undefined,
    world.authority.issue(['bare.test', 'alias.test', 'alias.hosts.test']),
  );
  world.dns.mx('bare.test', 'NODATA');
  world.address('bare.test', address);
  assert.equal(await world.answerFrom('bare.test'), delivered);
  assert.equal(server.talk(0).serverName, 'bare.test');
  world.dns.cname('alias.test', ['bare.test']);
  assert.equal(await world.answerFrom('alias.test'), delivered);
  world.dns.cname('alias.hosts.test', ['bare.test']);
  world.route('cname-mx.test', 'alias.hosts.test');
  assert.equal(await world.answerFrom('cname-mx.test'), delivered);
  assert.equal(server.talks.at(-1)?.serverName, 'alias.hosts.test');
});

test('a destination without life is closed for some seconds, and says what is wrong', async () => {
  world.address('gone.hosts.test', world.freeAddress());
  world.route('gone.test', 'gone.hosts.test');
  assert.match(
    await world.answerFrom('gone.test'),
    /^451 4\.4\.1 gone\.hosts\.test\[\S+\]: connect: connection refused \(ECONNREFUSED\)$/,
  );
  assert.match(await world.answerFrom('gone.test'), /^451 4\.4\.1 .*connection refused.* \(next try in [1-5] s\)$/);
});

test('the log is whole', async () => {
  await world.filter.stop();
});
