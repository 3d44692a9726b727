import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { findAddresses, type HostAddresses } from '../../src/deliver/host-addresses.ts';
import type { Answer } from '../../src/system/dns.ts';
import { mailDns } from '../../src/system/dns-cache.ts';
import { DnsServer, garbage, type Answer as Published } from '../peers/dns-server.ts';

/** At a name server that publishes these for `mx.test`. */
async function found(six: Published<string> | null, four: Published<string> | null): Promise<HostAddresses> {
  await using dns = await DnsServer.listen();
  if (six !== null) dns.aaaa('mx.test', six);
  if (four !== null) dns.a('mx.test', four);
  return await findAddresses(
    'mx.test',
    mailDns([{ address: '127.0.0.1', port: dns.port }], () => 0),
  );
}

const six = (count: number) => Array.from({ length: count }, (_, n) => `2001:db8::${n + 1}`);
const four = (count: number) => Array.from({ length: count }, (_, n) => `192.0.2.${n + 1}`);

describe('addresses by turns', () => {
  for (const [sixes, fours, outcome] of [
    [1, 1, '6a 4a'],
    [2, 1, '6a 4a 6b'],
    [1, 3, '6a 4a 4b 4c'],
    [0, 2, '4a 4b'],
    [2, 0, '6a 6b'],
    [20, 1, '6a 4a 6b 6c 6d 6e 6f 6g'],
    [1, 20, '6a 4a 4b 4c 4d 4e 4f 4g'],
    [20, 20, '6a 4a 6b 4b 6c 4c 6d 4d'],
    [1000, 1000, '6a 4a 6b 4b 6c 4c 6d 4d'],
  ] as const) {
    test(`${sixes} of IPv6, ${fours} of IPv4`, async () => {
      const host = await found(six(sixes), four(Math.min(fours, 250)));
      assert.ok('addresses' in host);
      const short = host.addresses.map(address => {
        const [family, last] = address.includes(':') ? [6, address.split(':').at(-1)] : [4, address.split('.').at(-1)];
        return `${family}${String.fromCharCode(96 + Number(last))}`;
      });
      assert.equal(short.join(' '), outcome);
    });
  }
});

describe('no addresses', () => {
  const none = { none: 'no address of mx.test' };
  const failed = (why: string) => ({ trouble: `address look-up of mx.test failed: ${why}` });
  for (const [what, sixes, fours, outcome] of [
    ['no such host', null, null, none],
    ['none of either family', 'NODATA', 'NODATA', none],
    ['empty answers', [], [], none],
    ['failures', 'SERVFAIL', 'REFUSED', failed('EREFUSED')],
    ['one family failed, the other has none', 'SERVFAIL', 'NODATA', failed('ESERVFAIL')],
    ['one family failed, the other does not exist', 'NXDOMAIN', { answer: [], send: garbage }, failed('EBADRESP')],
    ['one family failed, the other has one', 'SERVFAIL', ['192.0.2.1'], { addresses: ['192.0.2.1'] }],
    ['and the other way round', ['2001:db8::1'], { answer: [], send: garbage }, { addresses: ['2001:db8::1'] }],
  ] as const) {
    test(what, async () => assert.deepEqual(await found(sixes, fours), outcome));
  }
});

test('an address is its own, and nobody is asked', async () => {
  const nobody = () => Promise.reject(new Error('asked'));
  for (const address of ['192.0.2.1', '2001:db8::1', '::1'])
    assert.deepEqual(await findAddresses(address, { a: nobody, aaaa: nobody }), { addresses: [address] });
});

test('a host that is an alias, in a chain, in a circle', async () => {
  await using dns = await DnsServer.listen();
  dns.cname('mx.test', ['second.test']);
  dns.cname('second.test', ['third.test']);
  dns.a('third.test', ['192.0.2.3']);
  dns.cname('circle.test', ['again.test']);
  dns.cname('again.test', ['circle.test']);
  const lookups = mailDns([{ address: '127.0.0.1', port: dns.port }], () => 0);
  assert.deepEqual(await findAddresses('mx.test', lookups), { addresses: ['192.0.2.3'] });
  assert.ok('trouble' in (await findAddresses('circle.test', lookups)));
});

test('both families are asked at once', async () => {
  await using dns = await DnsServer.listen();
  const gate = Promise.withResolvers<void>();
  dns.a('mx.test', { answer: ['192.0.2.1'], after: gate.promise });
  dns.aaaa('mx.test', { answer: ['2001:db8::1'], after: gate.promise });
  const finding = findAddresses(
    'mx.test',
    mailDns([{ address: '127.0.0.1', port: dns.port }], () => 0),
  );
  await Promise.all([dns.asked('A mx.test'), dns.asked('AAAA mx.test')]);
  gate.resolve();
  assert.deepEqual(await finding, { addresses: ['2001:db8::1', '192.0.2.1'] });
});

describe('a family that is not answered', () => {
  const lookups = (a: Promise<Answer<string>>, aaaa: Promise<Answer<string>>) => ({ a: () => a, aaaa: () => aaaa });
  const never = new Promise<Answer<string>>(() => null);
  const here = Promise.resolve({ records: ['192.0.2.1'], ttl: 1 });

  for (const [what, pair] of [
    ['IPv6', lookups(here, never)],
    ['IPv4', lookups(never, here)],
  ] as const) {
    test(`${what}: half a second`, async t => {
      t.mock.timers.enable({ apis: ['setTimeout'] });
      const finding = findAddresses('mx.test', pair);
      let ended = false;
      void finding.then(() => (ended = true));
      const turn = () => new Promise(resolve => setImmediate(resolve));
      await turn();
      t.mock.timers.tick(499);
      await turn();
      assert.equal(ended, false);
      t.mock.timers.tick(1);
      assert.deepEqual(await finding, { addresses: ['192.0.2.1'] });
    });
  }

  test('where the other has no address: as long as it takes', async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const late = Promise.withResolvers<Answer<string>>();
    const finding = findAddresses('mx.test', lookups(Promise.resolve({ absent: 'ENODATA' }), late.promise));
    await new Promise(resolve => setImmediate(resolve));
    t.mock.timers.tick(14_000);
    late.resolve({ records: ['2001:db8::1'], ttl: 1 });
    assert.deepEqual(await finding, { addresses: ['2001:db8::1'] });
  });

  test('no timer is left', async () => {
    const timers = () => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length;
    const before = timers();
    assert.ok('addresses' in (await found(['2001:db8::1'], { answer: ['192.0.2.1'], after: 50 })));
    assert.equal(timers(), before);
  });
});

test('whatever is found: few addresses, each once, and both families among them', async () => {
  const answer = (list: readonly string[]) =>
    fc.oneof(
      fc.shuffledSubarray([...list, ...list], { minLength: 1 }).map(records => ({ records, ttl: 1 })),
      fc.constantFrom<Answer<string>>({ absent: 'ENODATA' }, { trouble: 'timeout' }),
    );
  const property = fc.asyncProperty(
    answer(six(12)),
    answer(four(12)),
    async (aaaa: Answer<string>, a: Answer<string>) => {
      const host = await findAddresses('mx.test', { a: async () => a, aaaa: async () => aaaa });
      const published = [aaaa, a].map(one => ('records' in one ? one.records : []));
      if (!('addresses' in host)) {
        assert.deepEqual(published, [[], []]);
        assert.equal('trouble' in host, 'trouble' in a || 'trouble' in aaaa);
        return;
      }
      assert.ok(host.addresses.length > 0 && host.addresses.length <= 8);
      assert.equal(new Set(host.addresses).size, host.addresses.length);
      for (const family of published)
        assert.ok(family.length === 0 || family.some(address => host.addresses.includes(address)));
      const share = published.map(family => new Set(family).size);
      const got = published.map(family => host.addresses.filter(address => family.includes(address)).length);
      assert.deepEqual(
        got.map((count, index) => count >= Math.min(4, share[index] ?? 0)),
        [true, true],
      );
    },
  );
  await fc.assert(property, { numRuns: 500 });
});

test('addresses that mean this host to a socket are none', async () => {
  const nothing = () => Promise.resolve({ absent: 'ENODATA' });
  for (const host of ['0.0.0.0', '::', '0:0:0:0:0:0:0:0'])
    assert.ok('none' in (await findAddresses(host, { a: nothing, aaaa: nothing })), host);
  const a = () => Promise.resolve({ records: ['0.0.0.0', '192.0.2.1'], ttl: 60 });
  const aaaa = () => Promise.resolve({ records: ['::'], ttl: 60 });
  assert.deepEqual(await findAddresses('mx.test', { a, aaaa }), { addresses: ['192.0.2.1'] });
});
