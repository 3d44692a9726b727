// Look-ups at name servers that answer well, badly, late or not at all.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { type TxtAnswer, txtLookup } from '../../src/system/dns.ts';
import { cutShort, DnsServer, garbage, spoiltFirst, twice, wrongIdFirst, wrongNameFirst } from '../peers/dns-server.ts';

const quick = 2000;

/** Look-ups at these, in the order of preference. */
function lookupAt(...servers: readonly DnsServer[]) {
  return txtLookup(servers.map(({ port }) => ({ address: '127.0.0.1', port })));
}

async function timed(lookup: Promise<TxtAnswer>): Promise<{ answer: TxtAnswer; ms: number }> {
  const start = performance.now();
  return { answer: await lookup, ms: performance.now() - start };
}

test('records are lists of octet strings, cut as they were published', async () => {
  await using dns = await DnsServer.listen();
  dns.txt('one.test', ['v=DKIM1; p=']);
  dns.txt('two.test', [['a', 'b'], 'c', '', ['', 'd', '']]);
  dns.txt('long.test', ['x'.repeat(300)]);
  const octets = Buffer.from(Array.from({ length: 256 }, (_, octet) => octet));
  dns.txt('octets.test', [octets]);
  const lookup = lookupAt(dns);
  assert.deepEqual(await lookup('one.test'), { records: [['v=DKIM1; p=']] });
  assert.deepEqual(await lookup('ONE.Test'), { records: [['v=DKIM1; p=']] });
  assert.deepEqual(await lookup('one.test.'), { records: [['v=DKIM1; p=']] });
  assert.deepEqual(await lookup('two.test'), { records: [['a', 'b'], ['c'], [''], ['', 'd', '']] });
  assert.deepEqual(await lookup('long.test'), { records: [['x'.repeat(255), 'x'.repeat(45)]] });
  assert.deepEqual(await lookup('octets.test'), { records: [[octets.toString('latin1', 0, 255), '\xff']] });
  assert.deepEqual(dns.tcpQuestions, []);
});

test('an IPv6 server', async () => {
  await using dns = await DnsServer.listen('::1');
  dns.txt('six.test', ['six']);
  assert.deepEqual(await txtLookup([{ address: '::1', port: dns.port }])('six.test'), { records: [['six']] });
});

test('what does not fit in 512 octets comes by TCP, up to the longest message there is', async () => {
  await using dns = await DnsServer.listen();
  // The rest of such a message: its head, the question, a record with two lengths.
  const room = 512 - 12 - (8 + 4) - (8 + 10 + 2);
  const [fitting, longer] = [room, room + 1].map(length => ['x'.repeat(255), 'y'.repeat(length - 255)]);
  assert.ok(fitting && longer);
  dns.txt('1.test', [fitting]);
  dns.txt('2.test', [longer]);
  // 64 KiB less what the rest of the message takes: of 256 strings one has no room.
  const strings = Array.from({ length: 255 }, (_, n) => String.fromCharCode(n).repeat(255));
  dns.txt('64k.test', [strings]);
  dns.txt('more.test', ['x'.repeat(128 * 255), 'y'.repeat(128 * 255)]);
  const lookup = lookupAt(dns);
  assert.deepEqual(await lookup('1.test'), { records: [fitting] });
  assert.deepEqual(dns.tcpQuestions, []);
  assert.deepEqual(await lookup('2.test'), { records: [longer] });
  assert.deepEqual(await lookup('64k.test'), { records: [strings] });
  assert.deepEqual(dns.tcpQuestions, ['TXT 2.test', 'TXT 64k.test']);
  assert.deepEqual(await lookup('more.test'), { trouble: 'ESERVFAIL' });
});

test('aliases are followed', async () => {
  await using dns = await DnsServer.listen();
  dns.cname('alias.test', ['second.test']);
  dns.cname('second.test', ['Key.test.']);
  dns.txt('key.test', ['key']);
  dns.cname('to-nothing.test', ['nothing.test']);
  dns.cname('to-other.test', ['other.test']);
  dns.a('other.test', ['127.0.0.1']);
  dns.cname('to-trouble.test', ['trouble.test']);
  dns.txt('trouble.test', 'SERVFAIL');
  dns.cname('loop.test', ['pool.test']);
  dns.cname('pool.test', ['loop.test']);
  const lookup = lookupAt(dns);
  assert.deepEqual(await lookup('alias.test'), { records: [['key']] });
  assert.deepEqual(await lookup('to-nothing.test'), { absent: 'ENOTFOUND' });
  assert.deepEqual(await lookup('to-other.test'), { absent: 'ENODATA' });
  assert.deepEqual(await lookup('to-trouble.test'), { trouble: 'ESERVFAIL' });
  assert.deepEqual(await lookup('loop.test'), { trouble: 'ESERVFAIL' });
});

test('absent: no such name, or none of the type; refusals and failures may pass', async () => {
  await using dns = await DnsServer.listen();
  dns.txt('below.known.test', 'SERVFAIL');
  dns.a('a.test', ['127.0.0.1']);
  dns.txt('nodata.test', 'NODATA');
  dns.txt('refused.test', 'REFUSED');
  const lookup = lookupAt(dns);
  assert.deepEqual(await lookup('unknown.test'), { absent: 'ENOTFOUND' });
  for (const name of ['a.test', 'nodata.test', 'known.test'])
    assert.deepEqual(await lookup(name), { absent: 'ENODATA' });
  assert.deepEqual(await lookup('below.known.test'), { trouble: 'ESERVFAIL' });
  assert.deepEqual(await lookup('refused.test'), { trouble: 'EREFUSED' });
});

test('a failure ends a look-up at once, and the next one asks again', async () => {
  await using dns = await DnsServer.listen();
  dns.txt('a.test', 'SERVFAIL', ['good']);
  const lookup = lookupAt(dns);
  assert.deepEqual(await lookup('a.test'), { trouble: 'ESERVFAIL' });
  assert.deepEqual(dns.questions, ['TXT a.test']);
  assert.deepEqual(await lookup('a.test'), { records: [['good']] });
});

test('nothing is remembered, and look-ups of the same name do not disturb each other', async () => {
  await using dns = await DnsServer.listen();
  const gate = Promise.withResolvers<void>();
  dns.txt('a.test', { answer: ['1'], after: gate.promise }, ['2'], 'NXDOMAIN');
  const lookup = lookupAt(dns);
  const first = lookup('a.test');
  await dns.asked('TXT a.test');
  assert.deepEqual(await lookup('a.test'), { records: [['2']] });
  assert.deepEqual(await lookup('a.test'), { absent: 'ENOTFOUND' });
  gate.resolve();
  assert.deepEqual(await first, { records: [['1']] });
});

test('messages that are no answer to the question are passed over', async () => {
  await using dns = await DnsServer.listen();
  dns.txt('twice.test', { answer: ['key'], send: twice });
  dns.txt('id.test', { answer: ['key'], send: wrongIdFirst });
  dns.txt('name.test', { answer: ['key'], send: wrongNameFirst });
  dns.txt('query.test', { answer: ['key'], send: spoiltFirst(2, 0x80) });
  const lookup = lookupAt(dns);
  for (const name of ['twice.test', 'id.test', 'name.test', 'query.test']) {
    const { answer, ms } = await timed(lookup(name));
    assert.deepEqual(answer, { records: [['key']] }, name);
    assert.ok(ms < quick, `${name}: ${ms} ms`);
  }
  assert.equal(dns.questions.length, 4);
});

test('an unreadable answer is asked for again, three times in all', async () => {
  await using dns = await DnsServer.listen();
  const unreadable = { answer: ['key'], send: garbage };
  dns.txt('once.test', unreadable, ['key']);
  dns.txt('always.test', unreadable);
  dns.txt('short.test', { answer: ['a key that is cut'], send: cutShort });
  const lookup = lookupAt(dns);
  assert.deepEqual(await lookup('once.test'), { records: [['key']] });
  assert.deepEqual(await lookup('always.test'), { trouble: 'EBADRESP' });
  assert.deepEqual(await lookup('short.test'), { trouble: 'EBADRESP' });
  assert.equal(dns.questions.filter(question => question === 'TXT always.test').length, 3);
});

test('names that cannot be are absent, and nobody is asked', async () => {
  await using dns = await DnsServer.listen();
  const lookup = lookupAt(dns);
  const label = 'a'.repeat(63);
  const names = [`${label}a._domainkey.test`, 's..test', '.test', 'a b.test', 'a\tb.test', ' '];
  for (const name of names) assert.deepEqual(await lookup(name), { absent: 'EBADNAME' }, JSON.stringify(name));
  assert.deepEqual(dns.questions, []);
  const longest = [label, label, label, label.slice(2)].join('.');
  assert.equal(longest.length, 253);
  assert.deepEqual(await lookup(longest), { absent: 'ENOTFOUND' });
  const tooLong = await Promise.all(['a', 'aa', 'aaa'].map(more => lookup(longest + more)));
  assert.deepEqual(tooLong, Array(3).fill({ absent: 'EBADNAME' }));
});

test('a name is asked for as it is', async () => {
  await using dns = await DnsServer.listen();
  const lookup = lookupAt(dns);
  const letters = fc.string({ unit: fc.constantFrom(...'abxyz0189-_'), minLength: 1, maxLength: 20 });
  const label = fc.oneof(
    letters,
    letters.map(text => `xn--${text}`),
  );
  const property = fc.asyncProperty(fc.array(label, { minLength: 1, maxLength: 5 }), async labels => {
    const name = labels.join('.');
    assert.deepEqual(await lookup(name), { absent: 'ENOTFOUND' });
    assert.deepEqual(dns.questions.splice(0), [`TXT ${name}`]);
  });
  await fc.assert(property, { numRuns: 300 });
});

test('octets that no host name has never ask for another name', async () => {
  await using dns = await DnsServer.listen();
  dns.txt('one.test', ['the key of another']);
  const lookup = lookupAt(dns);
  // IDNA takes the octets for characters of Latin-1, of which it drops some and maps others: two domains come to have one key.
  for (const name of [
    'one\xad.test',
    '\xaane.test',
    'one.test\0',
    's\xe4._domainkey.one.test',
    's._domainkey.\xb2.test',
  ]) {
    assert.ok('absent' in (await lookup(name)), JSON.stringify(name));
    assert.deepEqual(dns.questions.splice(0), [], JSON.stringify(name));
  }
  assert.ok('absent' in (await lookup('m\xc3\xbcnchen.test')));
  assert.ok(['', 'TXT xn--mnchen-3ya.test'].includes(dns.questions.join()), dns.questions.join());
});

test('whatever the name, the answer is a value', async () => {
  await using dns = await DnsServer.listen();
  const lookup = lookupAt(dns);
  const octet = fc.integer({ min: 0, max: 255 }).map(code => String.fromCharCode(code));
  const name = fc.oneof(fc.string({ unit: octet, maxLength: 300 }), fc.string({ unit: 'binary', maxLength: 80 }));
  const property = fc.asyncProperty(name, async text => {
    const answer = await lookup(text);
    assert.ok('absent' in answer, JSON.stringify(answer));
  });
  await fc.assert(property, { numRuns: 500 });
});

test('a first server that is down or answers with nonsense is made up for by the second', async () => {
  const down = await DnsServer.listen();
  await down[Symbol.asyncDispose]();
  await using bad = await DnsServer.listen();
  await using good = await DnsServer.listen();
  bad.txt('a.test', { answer: ['x'], send: garbage });
  good.txt('a.test', ['key']);
  assert.deepEqual(await lookupAt(down, good)('a.test'), { records: [['key']] });
  assert.deepEqual(await lookupAt(bad, good)('a.test'), { records: [['key']] });
  assert.deepEqual(await lookupAt(down)('a.test'), { trouble: 'ECONNREFUSED' });
});

test('what the first server says counts, but for failures: then the next one is asked', async () => {
  await using first = await DnsServer.listen();
  await using second = await DnsServer.listen();
  for (const [name, failure] of [
    ['failing.test', 'SERVFAIL'],
    ['refused.test', 'REFUSED'],
  ] as const) {
    first.txt(name, failure);
    second.txt(name, ['second'], failure);
  }
  const lookup = lookupAt(first, second);
  assert.deepEqual(await lookup('unknown.test'), { absent: 'ENOTFOUND' });
  assert.deepEqual(second.questions, []);
  assert.deepEqual(await lookup('failing.test'), { records: [['second']] });
  assert.deepEqual(await lookup('refused.test'), { records: [['second']] });
  assert.deepEqual(await lookup('failing.test'), { trouble: 'ESERVFAIL' });
  assert.deepEqual(await lookup('refused.test'), { trouble: 'EREFUSED' });
});

test('a look-up ends after 15 s, and leaves no socket behind', async t => {
  await using dns = await DnsServer.listen();
  dns.txt('silent.test', 'silence');
  const lookup = lookupAt(dns);
  const descriptors = () => readdirSync('/proc/self/fd').length;
  const before = descriptors();
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const lookups = Array.from({ length: 100 }, () => lookup('silent.test'));
  await dns.asked('TXT silent.test', 100);
  let ended = 0;
  for (const one of lookups) void one.then(() => ended++);
  t.mock.timers.tick(14_999);
  await turn();
  assert.equal(ended, 0);
  t.mock.timers.tick(1);
  for (const answer of await Promise.all(lookups)) assert.deepEqual(answer, { trouble: 'timeout' });
  assert.equal(descriptors(), before);
});

describe('in real time', { concurrency: true }, () => {
  test('a server that never answers is asked three times', async () => {
    await using dns = await DnsServer.listen();
    dns.txt('silent.test', 'silence');
    const { answer, ms } = await timed(lookupAt(dns)('silent.test'));
    assert.deepEqual(answer, { trouble: 'timeout' });
    assert.equal(dns.questions.length, 3);
    assert.ok(ms > 8500 && ms < 15_000, `${ms} ms`);
  });

  test('a lost question is asked again after 3 s', async () => {
    await using dns = await DnsServer.listen();
    dns.txt('lost.test', 'silence', ['key']);
    const { answer, ms } = await timed(lookupAt(dns)('lost.test'));
    assert.deepEqual(answer, { records: [['key']] });
    assert.ok(ms > 2900 && ms < 5000, `${ms} ms`);
  });

  test('a silent first server costs 3 s', async () => {
    await using silent = await DnsServer.listen();
    await using good = await DnsServer.listen();
    silent.txt('a.test', 'silence');
    good.txt('a.test', ['key']);
    const { answer, ms } = await timed(lookupAt(silent, good)('a.test'));
    assert.deepEqual(answer, { records: [['key']] });
    assert.ok(ms > 2900 && ms < 5000, `${ms} ms`);
  });

  test('an answer within 3 s is in time', async () => {
    await using dns = await DnsServer.listen();
    dns.txt('late.test', { answer: ['late'], after: 2500 });
    assert.deepEqual(await lookupAt(dns)('late.test'), { records: [['late']] });
    assert.equal(dns.questions.length, 1);
  });

  test('a resolver that takes 4 s answers the second question when it is ready', async () => {
    await using dns = await DnsServer.listen();
    dns.txt('late.test', { answer: ['first'], after: 4000 }, { answer: ['second'], after: 1000 });
    const { answer, ms } = await timed(lookupAt(dns)('late.test'));
    assert.deepEqual(answer, { records: [['second']] });
    assert.ok(ms < 5500, `${ms} ms`);
  });
});
