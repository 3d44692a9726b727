// DKIM-Signature fields in hostile and odd forms. Every one is signed as it stands, so that the form alone decides.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agreed } from './agreement.ts';
import { domain, now, signedMessage, zoneOf } from './signer.ts';
import { ed25519, rsa } from './test-keys.ts';
import { verdicts } from './verify.ts';

type Tags = Readonly<Record<string, string | null>>;

const verdictOf = (tags: Tags, at = now) =>
  verdicts(signedMessage({ tags }), { zone: zoneOf(rsa.record), now: at, domain });

const base64 = (octets: number) => Buffer.alloc(octets, 0x5a).toString('base64');

const forms: [fault: string, forms: Tags[]][] = [
  [
    'pass',
    [
      {},
      // Values may be folded where RFC 6376 3.2 and 2.10 say so.
      { v: ' 1\t', a: '\r\n rsa-sha256 ', d: `\t${domain}\r\n `, s: ' s1 ', h: ' from\r\n\t:\r\n to ', q: ' dns/txt ' },
      { a: 'RSA-SHA256', c: 'Relaxed/RELAXED', d: 'EXAMPLE.Org', s: 'S1', h: 'FROM:tO', q: 'Dns/Txt' },
      { q: 'x-new:dns/txt', z: 'From:b=1|To:b=2', x_9: 'b=b' },
      // Names are told by case (3.2), and unknown ones are ignored.
      { B: 'AAAA', V: '2', D: 'other.test', L: '0', H: 'to', T: 'x' },
      { h: 'from:to:from:to:missing:missing' },
      { h: `from:to:${Array(10_000).fill('x').join(':')}` },
      { l: '5' },
      { l: '5'.padStart(76, '0') },
      { t: `${now}`, x: `${now + 1}` },
      { t: '0', x: '999999999999' },
      { t: `${now}`.padStart(12, '0') },
    ],
  ],
  ['version', [{ v: null }, { v: '' }, { v: '2' }, { v: '01' }, { v: '1.0' }, { v: '1 1' }, { v: '１' }]],
  [
    'algorithm',
    [
      ...[null, '', 'rsa', 'rsa-sha1', 'RSA-SHA1', 'rsa-sha512', 'rsa-sha256-', 'rsa - sha256', 'rsa sha256'],
      ...['ed25519-sha1', 'ed25519', 'sha256', 'dsa-sha256', 'rsa-sha256:rsa-sha1', 'ecdsa-sha256', 'rsa\r\n -sha256'],
    ].map(a => ({ a })),
  ],
  ['key type does not match a=', [{ a: 'ed25519-sha256' }]],
  [
    'canonicalization',
    [
      ...['', '/', 'relaxed/', '/relaxed', 'relaxed/relaxed/', 'relaxed/relaxed/relaxed', 'nowsp', 'relaxed/nofws'],
      ...['relaxed /relaxed', 'relaxed/ relaxed', 'relax ed', 'simple:relaxed', 'constructor', '__proto__/simple'],
    ].map(c => ({ c })),
  ],
  [
    'malformed h=',
    ['from:', ':from', 'from::to', ' : from', 'fr\r\n om:from', 'from to:from', 'from:\xe9', 'from:\0', ':'].map(h => ({
      h,
    })),
  ],
  ['malformed h=', [{ h: null }, { h: '' }]],
  ['From is not signed', ['to', 'fro', 'fromm:to', 'x-from:resent-from', 'sender'].map(h => ({ h }))],
  [
    'malformed bh=',
    [
      ...[null, '', '=', '====', base64(31), base64(33), base64(64), base64(20), '!'.repeat(44), `${base64(32)}=`],
      ...[base64(32).replace('Wl', 'W*'), `=${base64(32)}`, base64(32).replace('Wl', '-_'), `${base64(32)},`],
    ].map(bh => ({ bh })),
  ],
  ['body hash does not match', [{ bh: base64(32) }, { bh: base64(32).replace('=', '') }]],
  [
    'malformed b=',
    [
      null,
      '',
      '=',
      'A',
      'A===',
      'AA=',
      'AAAA=',
      '=AAA',
      'AA=A',
      'AA==AA==',
      'A*AA',
      'A-_A',
      '\xe9AAA',
      '*=',
      '*A',
      '*\f',
      '\v*',
    ].map(b => ({ b })),
  ],
  ['signature does not match', [{ b: 'AA' }, { b: 'AA==' }, { b: 'A'.repeat(40_000) }, { b: base64(128) }]],
  [
    'malformed l=',
    ['', '-1', '+5', '0x5', '5.0', '5e0', '5 5', '5,', 'five', '５', '9'.repeat(77), '5'.padStart(77, '0')].map(l => ({
      l,
    })),
  ],
  [
    'l= is not the length of the body',
    ['0', '1', '4', '6', '9'.repeat(15), '9'.repeat(76), `${2 ** 32 + 5}`, `${2n ** 64n + 5n}`].map(l => ({ l })),
  ],
  [
    'malformed t= or x=',
    ['', '-1', '+1', '1.0', '1e9', '0x1', '1 1', 'now', '1'.repeat(13), '0'.repeat(13), '１'].flatMap(time => [
      { t: time },
      { x: time },
    ]),
  ],
  [
    'malformed t= or x=',
    [
      { t: `${now}`, x: `${now}` },
      { t: `${now + 1}`, x: `${now}` },
      { t: '1', x: '0' },
    ],
  ],
  ['expired', [{ x: '0' }, { x: `${now - 301}` }, { x: `${now - 301}`.padStart(12, '0'), t: '1' }]],
  ['signed in the future', [{ t: `${now + 601}` }, { t: '9'.repeat(12) }]],
  ['query method', ['', 'dns', 'dns/txt/x', 'x-new', 'dns / txt', 'dns/txt;'.slice(0, 3)].map(q => ({ q }))],
];

for (const [fault, list] of forms) {
  test(`${fault}: ${list.length} forms`, () => {
    for (const tags of list) assert.deepEqual(verdictOf(tags), [fault], JSON.stringify(tags).slice(0, 200));
  });
}

test('the form alone decided: mailauth says the same', async () => {
  for (const tags of forms.flatMap(([, list]) => list)) {
    // It throws at a header canonicalization without a name.
    if (!tags.c?.startsWith('/')) await agreed(signedMessage({ tags }), zoneOf(rsa.record));
  }
});

test('times to the second, and clocks before 1970', () => {
  assert.deepEqual(verdictOf({ x: `${now}` }, now + 300), ['pass']);
  assert.deepEqual(verdictOf({ x: `${now}` }, now + 301), ['expired']);
  assert.deepEqual(verdictOf({ t: `${now}` }, now - 600), ['pass']);
  assert.deepEqual(verdictOf({ t: `${now}` }, now - 601), ['signed in the future']);
  assert.deepEqual(verdictOf({ t: '0' }, -600), ['pass']);
  assert.deepEqual(verdictOf({ x: '0' }, -1), ['pass']);
});

/** Fields as they stand, unsigned: what is wrong comes first. */
const valid = `v=1; a=rsa-sha256; d=${domain}; s=s1; h=from; bh=${base64(32)}; b=AAAA`;
const malformedLists: [tags: string, fault: string][] = [
  [valid, 'body hash does not match'],
  [`${valid};`, 'body hash does not match'],
  [`${valid} ; \r\n\t`, 'body hash does not match'],
  [
    `\r\n ${valid.replaceAll('; ', '\r\n ;\r\n\t').replaceAll('=', ' \t=\r\n ').replace(/AAAA$/, 'A\r\n A A\tA')}`,
    'body hash does not match',
  ],
  // A list that cannot be read names no domain.
  ...[
    '',
    ';',
    `;${valid}`,
    `${valid};;`,
    `${valid}; ;`,
    `${valid}; x`,
    `${valid}; =x`,
    `${valid}; 1x=y`,
    `${valid}; x-y=z`,
    `${valid}; \xe9=z`,
    `${valid}; _x=z`,
    `${valid}; d=${domain}`,
    `${valid}; v=1`,
    `${valid}; b=AAAA`,
    `${valid}; x=; x=`,
    `${valid}; n=1; n=1`,
    `${valid}, n=1; n;`,
    valid.replaceAll('; ', ', '),
    valid.replaceAll('=', ':'),
    valid.replace('a=', 'a b='),
    `"${valid}"`,
  ].map((tags): [string, string] => [tags, 'unaligned']),
  [valid.replace('b=AAAA', ''), 'malformed b='],
  [`${valid.replace(' b=AAAA', '')} B=AAAA`, 'malformed b='],
  [`${valid}; constructor=x; __proto__=y; toString=z`, 'unaligned'],
];

test('tag lists that are none', () => {
  for (const [tags, fault] of malformedLists) {
    const message = `DKIM-Signature: ${tags}\r\nFrom: a@${domain}\r\n\r\n`;
    assert.deepEqual(verdicts(message, { zone: zoneOf(rsa.record), now }), [fault], tags);
  }
});

test('a field name that is nearly it', () => {
  for (const name of [
    'DKIM-Signature2',
    'X-DKIM-Signature',
    'DKIM_Signature',
    'DKIM-Signatur',
    'DomainKey-Signature',
  ]) {
    const message = signedMessage().replace('DKIM-Signature', name);
    assert.deepEqual(verdicts(message, { zone: zoneOf(rsa.record), now }), [], name);
  }
});

test('signatures of one kind do not verify with the key of another', () => {
  const message = signedMessage({ key: ed25519 });
  assert.deepEqual(verdicts(message, { zone: zoneOf(ed25519.record), now }), ['pass']);
  assert.deepEqual(verdicts(message, { zone: zoneOf(rsa.record), now }), ['key type does not match a=']);
  assert.deepEqual(verdicts(message, { zone: {}, now }), ['no DKIM record']);
});

test('signatures of every length, some of them greater than the modulus', () => {
  for (const length of [1, 63, 64, 65, 127, 128, 129, 256, 20_000]) {
    for (const octet of [0, 1, 0xff]) {
      const b = Buffer.alloc(length, octet).toString('base64');
      for (const key of [rsa, ed25519]) {
        const message = signedMessage({ key, tags: { b } });
        assert.deepEqual(verdicts(message, { zone: zoneOf(key.record), now }), ['signature does not match']);
      }
    }
  }
});
