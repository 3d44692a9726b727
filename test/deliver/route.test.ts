import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { findRoute, literalAddress, type NoRoute, type Route } from '../../src/deliver/route.ts';
import type { Answer, Mx } from '../../src/system/dns.ts';
import { mailDns } from '../../src/system/dns-cache.ts';
import { describeReply, formatReply } from '../../src/wire/reply.ts';
import { DnsServer, type Exchange } from '../peers/dns-server.ts';

const ourNames = ['us.test'];

function routeAt(dns: DnsServer, domain: string): Promise<Route | NoRoute> {
  const { mx } = mailDns([{ address: '127.0.0.1', port: dns.port }], () => 0);
  return findRoute(domain, { mx, random: Math.random, ourNames });
}

function routeOf(domain: string, answer: Answer<Mx>, random = Math.random): Promise<Route | NoRoute> {
  return findRoute(domain, { mx: async () => answer, random, ourNames });
}

function mxs(...exchanges: readonly string[]): Exchange[] {
  return exchanges.map((exchange, index) => ({ preference: 10 * index, exchange }));
}

/** Hosts, or the reply and whether the destination is dead. */
function told(route: Route | NoRoute): string {
  if ('hosts' in route) return route.hosts.join(' ');
  return `${describeReply(route.reply)}${route.dead ? ', dead' : ''}`;
}

describe('hosts by what the domain publishes', () => {
  const label63 = 'a'.repeat(63);
  const table: [what: string, published: (dns: DnsServer) => void, domain: string, outcome: string][] = [
    ['by preference', dns => dns.mx('a.test', mxs('mx1.test', 'mx2.test').reverse()), 'a.test', 'mx1.test mx2.test'],
    ['any case', dns => dns.mx('a.test', mxs('MX1.Test', 'mx1.test')), 'A.TEST', 'mx1.test'],
    ['a dot at the end', dns => dns.mx('a.test', mxs('mx1.test.')), 'a.test.', 'mx1.test'],
    ['no MX', dns => dns.a('a.test', ['127.0.0.1']), 'a.test', 'a.test'],
    ['no MX, any case, last dot', dns => dns.a('a.test', ['127.0.0.1']), 'A.Test.', 'a.test'],
    ['an empty answer', dns => dns.mx('a.test', []), 'a.test', 'a.test'],
    ['an alias', dns => [dns.cname('a.test', ['b.test']), dns.mx('b.test', mxs('mx.test'))], 'a.test', 'mx.test'],
    [
      'an alias of a host without MX',
      dns => [dns.cname('a.test', ['b.test']), dns.a('b.test', [])],
      'a.test',
      'a.test',
    ],
    ['null MX', dns => dns.mx('a.test', mxs('.')), 'a.test', '556 5.1.10 a.test takes no mail (null MX)'],
    ['null MX twice', dns => dns.mx('a.test', mxs('.', '.')), 'a.test', '556 5.1.10 a.test takes no mail (null MX)'],
    ['null MX that is not alone', dns => dns.mx('a.test', mxs('.', 'mx.test')), 'a.test', 'mx.test'],
    ['no such domain', () => null, 'a.test', '550 5.1.2 no such domain: a.test'],
    ['an alias of nothing', dns => dns.cname('a.test', ['b.test']), 'a.test', '550 5.1.2 no such domain: a.test'],
    [
      'SERVFAIL',
      dns => dns.mx('a.test', 'SERVFAIL'),
      'a.test',
      '451 4.4.3 MX look-up of a.test failed: ESERVFAIL, dead',
    ],
    ['lame', dns => dns.mx('a.test', 'REFUSED'), 'a.test', '451 4.4.3 MX look-up of a.test failed: EREFUSED, dead'],
    [
      'a circle of aliases',
      dns => [dns.cname('a.test', ['b.test']), dns.cname('b.test', ['a.test'])],
      'a.test',
      '451 4.4.3 MX look-up of a.test failed: ESERVFAIL, dead',
    ],
    [
      'an MX that has an MX',
      dns => [dns.mx('a.test', mxs('b.test')), dns.mx('b.test', mxs('a.test'))],
      'a.test',
      'b.test',
    ],
    ['itself as MX', dns => dns.mx('a.test', mxs('a.test')), 'a.test', 'a.test'],
    ['localhost as MX', dns => dns.mx('a.test', mxs('localhost')), 'a.test', 'localhost'],
    ['an underscore in an MX', dns => dns.mx('a.test', mxs('_mx.a_b.test')), 'a.test', '_mx.a_b.test'],
    [
      'an address as MX',
      dns => dns.mx('a.test', mxs('192.0.2.1')),
      'a.test',
      '550 5.4.4 no MX of a.test is a host name',
    ],
    [
      'MX that are no host names',
      dns =>
        dns.mx('a.test', mxs('a b.test', '2001:db8::1', '[192.0.2.1]', 'a/b', 'x\ny', 'é.test', 'mx.test', '*', '1.2')),
      'a.test',
      'mx.test',
    ],
    ['us alone', dns => dns.mx('a.test', mxs('US.test')), 'a.test', '550 5.4.6 the best MX of a.test is this host'],
    ['us among others', dns => dns.mx('a.test', mxs('b.test', 'us.test', 'c.test')), 'a.test', 'b.test'],
    [
      'us by the same preference',
      dns => dns.mx('a.test', [...mxs('us.test'), ...mxs('b.test')]),
      'a.test',
      '550 5.4.6 the best MX of a.test is this host',
    ],
    ['U-labels', dns => dns.mx('xn--mnchen-3ya.test', mxs('mx.test')), 'm\xc3\xbcnchen.test', 'mx.test'],
    ['U-labels in upper case', dns => dns.a('xn--mnchen-3ya.test', []), 'M\xc3\x9cNCHEN.test', 'xn--mnchen-3ya.test'],
    ['U-labels, decomposed', dns => dns.a('xn--mnchen-3ya.test', []), 'mu\xcc\x88nchen.test', 'xn--mnchen-3ya.test'],
    ['no name', () => null, '', '550 5.1.2 "" cannot be a domain'],
    ['an empty label', () => null, 'a..test', '550 5.1.2 a..test cannot be a domain'],
    ['64 octets in a label', () => null, `${label63}a.test`, `550 5.1.2 ${label63}a.test cannot be a domain`],
    ['Latin-1', () => null, 'm\xfcnchen.test', '550 5.1.2 "m\\xfcnchen.test" cannot be a domain'],
    [
      'what IDNA would map to another name',
      () => null,
      'o\xc2\xadne.test',
      '550 5.1.2 "o\\xc2\\xadne.test" cannot be a domain',
    ],
    ['a blank', () => null, 'a b.test', '550 5.1.2 "a b.test" cannot be a domain'],
    ['an address without brackets', () => null, '192.0.2.1', '550 5.1.2 192.0.2.1 cannot be a domain'],
    ['full-width digits', () => null, '\xef\xbc\x91.2.3.4', '550 5.1.2 "\\xef\\xbc\\x91.2.3.4" cannot be a domain'],
    ['an address literal', () => null, '[192.0.2.1]', '192.0.2.1'],
    ['an IPv6 literal', () => null, '[IPv6:2001:DB8::1]', '2001:db8::1'],
    ['a tag in any case', () => null, '[ipv6:::1]', '::1'],
    ['no address literal', () => null, '[example.org]', '550 5.1.2 [example.org] is no address literal'],
  ];
  for (const [what, published, domain, outcome] of table) {
    test(what, async () => {
      await using dns = await DnsServer.listen();
      published(dns);
      assert.equal(told(await routeAt(dns, domain)), outcome);
      assert.ok(dns.questions.length <= 1, dns.questions.join());
    });
  }
});

test('names as long as names can be, and longer', async () => {
  await using dns = await DnsServer.listen();
  const longest = `${'a.'.repeat(126)}a`;
  dns.a(longest, ['127.0.0.1']);
  assert.equal(told(await routeAt(dns, longest)), longest);
  assert.match(told(await routeAt(dns, `a${longest}`)), /^550 5\.1\.2 a+\.a\./);
});

test('a silent name server: temporary, and the destination is dead', async () => {
  assert.equal(
    told(await routeOf('a.test', { trouble: 'timeout' })),
    '451 4.4.3 MX look-up of a.test failed: timeout, dead',
  );
});

test('1,000 MX make 10 hosts, the best ones', async () => {
  await using dns = await DnsServer.listen();
  const records = Array.from({ length: 1000 }, (_, n) => ({
    preference: (n * 7) % 1000,
    exchange: `mx${(n * 7) % 1000}.test`,
  }));
  dns.mx('a.test', records);
  const hosts = Array.from({ length: 10 }, (_, n) => `mx${n}.test`);
  assert.equal(told(await routeAt(dns, 'a.test')), hosts.join(' '));
});

test('of equal hosts each comes first as often as the others', async () => {
  const records = ['a', 'b', 'c', 'd'].map(name => ({ preference: 5, exchange: `${name}.test` }));
  const counts = new Map<string, number>();
  for (const random of [...fc.sample(fc.tuple(...records.map(() => fc.nat(999))), 4000)]) {
    const values = random.values();
    const route = await routeOf('x.test', { records, ttl: 1 }, () => (values.next().value ?? 0) / 1000);
    assert.ok('hosts' in route);
    assert.equal(new Set(route.hosts).size, 4);
    const [first = ''] = route.hosts;
    counts.set(first, (counts.get(first) ?? 0) + 1);
  }
  for (const count of counts.values()) assert.ok(Math.abs(count - 1000) < 300, [...counts].join());
});

describe('what a connection must be like', () => {
  for (const [domain, anyCertificate, plainAllowed] of [
    ['a.test', false, false],
    ['a._b.test', false, false],
    ['_a.test', true, false],
    ['_A.TEST.', true, false],
    ['[192.0.2.1]', true, false],
    ['[IPv6:2001:db8::1]', true, false],
    ['nauta.cu', false, true],
    ['Nauta.CU.', false, true],
    ['mail.nauta.cu', false, false],
    ['nauta.cu.test', false, false],
    ['xnauta.cu', false, false],
  ] as const) {
    test(domain, async () => {
      const route = await routeOf(domain, { records: [{ preference: 1, exchange: 'nauta.cu' }], ttl: 1 });
      assert.ok('hosts' in route);
      assert.deepEqual([route.anyCertificate, route.plainAllowed], [anyCertificate, plainAllowed]);
    });
  }
});

test('address literals are addresses and nothing else', () => {
  for (const [literal, address] of [
    ['[192.0.2.1]', '192.0.2.1'],
    ['[IPv6:::ffff:192.0.2.1]', '::ffff:192.0.2.1'],
    ['[192.0.2.01]', null],
    ['[192.0.2]', null],
    ['[192.0.2.256]', null],
    ['[2001:db8::1]', null],
    ['[IPv6:192.0.2.1]', null],
    ['[IPv6:fe80::1%lo]', null],
    ['[IPv6:]', null],
    ['[]', null],
    ['[', null],
    ['[192.0.2.1', null],
    ['[192.0.2.1]x', null],
    ['[192.0.2.1]\n', null],
    ['192.0.2.1', null],
  ] as const)
    assert.equal(literalAddress(literal), address, literal);
});

test('whatever is published: few hosts, each once and a host name, the preferred ones first', async () => {
  const names = ['', 'a.test', 'A.test', 'b.test', 'us.test', '1.2.3.4', 'a..b', 'x y', '\\000', ...'cdefghijklm'];
  const record = fc.record({ preference: fc.nat(3), exchange: fc.constantFrom(...names) });
  const records = fc.array(record, { minLength: 1, maxLength: 30 });
  const property = fc.asyncProperty(records, fc.float({ min: 0, max: Math.fround(0.99) }), async (published, seed) => {
    const route = await routeOf('x.test', { records: published, ttl: 1 }, () => seed);
    const best = (host: string) =>
      Math.min(
        ...published.filter(({ exchange }) => exchange.toLowerCase() === host).map(({ preference }) => preference),
      );
    if (!('hosts' in route)) return assert.ok(!route.dead && route.reply.code >= 550);
    assert.ok(route.hosts.length > 0 && route.hosts.length <= 10);
    assert.equal(new Set(route.hosts).size, route.hosts.length);
    for (const [index, host] of route.hosts.entries()) {
      assert.match(host, /^(?:[a-z]+\.test|[a-z])$/);
      assert.ok(best(host) < best('us.test'));
      assert.ok(best(host) >= best(route.hosts[index - 1] ?? host));
    }
  });
  await fc.assert(property, { numRuns: 1000 });
});

test('whatever the domain, the outcome is a value and its cause one line of ASCII', async () => {
  const octet = fc.integer({ min: 0, max: 255 }).map(code => String.fromCharCode(code));
  const domain = fc.oneof(
    fc.string({ unit: octet, maxLength: 600 }),
    fc.string({ unit: octet, maxLength: 6 }).map(text => `[${text}]`),
  );
  const answers = fc.constantFrom<Answer<Mx>>({ absent: 'ENODATA' }, { absent: 'ENOTFOUND' }, { trouble: 'timeout' });
  const property = fc.asyncProperty(domain, answers, async (text, answer) => {
    const route = await routeOf(text, answer);
    if ('hosts' in route) return;
    assert.match(route.cause, /^[ -~]+$/);
    assert.match(formatReply(route.reply), /^[45]\d\d [45]\.[\d.]+ [ -~]+\r\n$/);
  });
  await fc.assert(property, { numRuns: 1000 });
});
