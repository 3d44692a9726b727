// MX, A and AAAA look-ups; what they have in common with those of TXT is in dns.test.ts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressLookup, mxLookup } from '../../src/system/dns.ts';
import { DnsServer, garbage } from '../peers/dns-server.ts';
import { mxOfLabel, withAnswers, withTtl } from './dns-messages.ts';

function lookupsAt(...servers: readonly DnsServer[]) {
  const list = servers.map(({ port }) => ({ address: '127.0.0.1', port }));
  return { mx: mxLookup(list), a: addressLookup(list, 'A'), aaaa: addressLookup(list, 'AAAA') };
}

test('MX by preference; Node does not tell their TTL', async () => {
  await using dns = await DnsServer.listen();
  dns.mx('a.test', [
    { preference: 20, exchange: 'second.test' },
    { preference: 10, exchange: 'First.test.' },
    { preference: 65_535, exchange: 'last.test' },
    { preference: 0, exchange: '.' },
  ]);
  assert.deepEqual(await lookupsAt(dns).mx('a.test'), {
    records: [
      { preference: 0, exchange: '' },
      { preference: 10, exchange: 'First.test' },
      { preference: 20, exchange: 'second.test' },
      { preference: 65_535, exchange: 'last.test' },
    ],
    ttl: null,
  });
});

test('of 1,000 MX, in whatever order, the best 20', async () => {
  await using dns = await DnsServer.listen();
  const records = Array.from({ length: 1000 }, (_, n) => ({ preference: (n * 7) % 1000, exchange: `mx${n}.a.test` }));
  dns.mx('a.test', records);
  const answer = await lookupsAt(dns).mx('a.test');
  assert.ok('records' in answer);
  assert.deepEqual(answer.records, records.toSorted((one, other) => one.preference - other.preference).slice(0, 20));
  assert.deepEqual(dns.tcpQuestions, ['MX a.test']);
});

test('octets of an MX that no name has are escaped: none of them becomes another name', async () => {
  await using dns = await DnsServer.listen();
  for (const [octets, exchange] of [
    [Buffer.from('1.2.3.4'), '1\\.2\\.3\\.4'],
    [Buffer.from([0, 10, 0xff, 0x22]), '\\000\\010\\255\\"'],
    [Buffer.from('a@b'), 'a\\@b'],
    [Buffer.from('mx.good.test'), 'mx\\.good\\.test'],
  ] as const) {
    dns.mx('a.test', { answer: [{ preference: 1, exchange: 'any' }], send: mxOfLabel(octets) });
    assert.deepEqual(await lookupsAt(dns).mx('a.test'), { records: [{ preference: 1, exchange }], ttl: null });
  }
});

test('addresses with the shortest TTL among them and the aliases before them', async () => {
  await using dns = await DnsServer.listen();
  dns.a('a.test', { answer: ['192.0.2.1', '192.0.2.2'], send: withTtl(300, 30) });
  dns.aaaa('a.test', { answer: ['2001:DB8::1', '::ffff:192.0.2.1'], send: withTtl(7) });
  dns.cname('alias.test', ['a.test']);
  dns.cname('short.test', ['long.test']);
  dns.a('long.test', { answer: ['192.0.2.3'], send: withTtl(5, 300) });
  const { a, aaaa } = lookupsAt(dns);
  assert.deepEqual(await a('a.test'), { records: ['192.0.2.1', '192.0.2.2'], ttl: 30 });
  assert.deepEqual(await aaaa('a.test'), { records: ['2001:db8::1', '::ffff:192.0.2.1'], ttl: 7 });
  assert.deepEqual(await a('alias.test'), { records: ['192.0.2.1', '192.0.2.2'], ttl: 30 });
  assert.deepEqual(await a('short.test'), { records: ['192.0.2.3'], ttl: 5 });
});

test('a TTL of 0 is one, and so is one that is too large to be one', async () => {
  await using dns = await DnsServer.listen();
  const { a } = lookupsAt(dns);
  for (const [sent, ttl] of [
    [0, 0],
    [1, 1],
    [0x7f_ff_ff_ff, 0x7f_ff_ff_ff],
    [0x80_00_00_00, 0],
    [0xff_ff_ff_ff, 0],
  ] as const) {
    dns.a('a.test', { answer: ['192.0.2.1'], send: withTtl(sent) });
    assert.deepEqual(await a('a.test'), { records: ['192.0.2.1'], ttl }, String(sent));
  }
});

test('of 1,000 addresses the first 20', async () => {
  await using dns = await DnsServer.listen();
  const addresses = Array.from({ length: 1000 }, (_, n) => `10.0.${n >> 8}.${n & 255}`);
  dns.a('a.test', addresses);
  assert.deepEqual(await lookupsAt(dns).a('a.test'), { records: addresses.slice(0, 20), ttl: 60 });
});

test('absent: no such name, none of the type, an empty answer, aliases that lead nowhere or in a circle, no name at all', async () => {
  await using dns = await DnsServer.listen();
  const alias = (name: string, data: string) => ({ type: 'CNAME' as const, name, ttl: 60, data });
  for (const type of ['mx', 'a', 'aaaa'] as const) {
    dns[type]('empty.test', []);
    dns[type]('dangling.test', { answer: 'NODATA', send: withAnswers(() => [alias('dangling.test', 'other.test')]) });
    const circle = [alias('circle.test', 'again.test'), alias('again.test', 'circle.test')];
    dns[type]('circle.test', { answer: 'NODATA', send: withAnswers(() => circle) });
    const lookup = lookupsAt(dns)[type];
    assert.deepEqual(await lookup('unknown.test'), { absent: 'ENOTFOUND' });
    for (const name of ['empty.test', 'dangling.test', 'circle.test', 'test'])
      assert.deepEqual(await lookup(name), { absent: 'ENODATA' }, `${type} ${name}`);
    dns.questions.length = 0;
    for (const name of ['', 'a..test', `${'a'.repeat(64)}.test`, 'a.'.repeat(127), 'a b.test', 'a\xad.test'])
      assert.deepEqual(await lookup(name), { absent: 'EBADNAME' }, `${type} ${name}`);
    assert.deepEqual(dns.questions, []);
  }
});

test('a name in U-labels is asked for in A-labels', async () => {
  await using dns = await DnsServer.listen();
  dns.mx('xn--mnchen-3ya.test', [{ preference: 1, exchange: 'mx.test' }]);
  dns.a('xn--mnchen-3ya.test', ['192.0.2.1']);
  const { mx, a } = lookupsAt(dns);
  const name = 'm\xc3\xbcnchen.test';
  assert.ok('records' in (await mx(name)));
  assert.ok('records' in (await a(name)));
});

test('trouble: after every server failed; what the first one says for sure counts', async () => {
  await using lame = await DnsServer.listen();
  await using good = await DnsServer.listen();
  for (const type of ['mx', 'a', 'aaaa'] as const) {
    lame[type]('refused.test', 'REFUSED');
    lame[type]('failing.test', 'SERVFAIL');
    lame[type]('garbage.test', { answer: 'NODATA', send: garbage });
    good[type]('failing.test', 'SERVFAIL');
    good[type]('garbage.test', []);
  }
  good.mx('refused.test', [{ preference: 1, exchange: 'mx.test' }]);
  good.a('refused.test', ['192.0.2.1']);
  good.aaaa('refused.test', ['2001:db8::1']);
  for (const type of ['mx', 'a', 'aaaa'] as const) {
    const [both, alone] = [lookupsAt(lame, good)[type], lookupsAt(lame)[type]];
    assert.ok('records' in (await both('refused.test')), type);
    assert.deepEqual(await both('failing.test'), { trouble: 'ESERVFAIL' });
    assert.deepEqual(await both('garbage.test'), { absent: 'ENODATA' });
    assert.deepEqual(await both('unknown.test'), { absent: 'ENOTFOUND' });
    assert.deepEqual(await alone('refused.test'), { trouble: 'EREFUSED' });
    assert.deepEqual(await alone('garbage.test'), { trouble: 'EBADRESP' });
  }
});
