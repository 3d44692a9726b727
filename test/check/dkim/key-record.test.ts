// Key records as they are published, and as nobody should publish them.

import assert from 'node:assert/strict';
import { constants, createPublicKey, generateKeyPairSync, publicDecrypt } from 'node:crypto';
import { test } from 'node:test';
import { readKeyRecords } from '../../../src/check/dkim/key-record.ts';
import { modulus, pkcs1, rsaSpki } from './der.ts';
import { opinions } from './oracle.ts';
import { domain, now, signedMessage, zoneOf } from './signer.ts';
import { ed25519, rsa, spki } from './test-keys.ts';
import { verdicts } from './verify.ts';

const rsaMessage = signedMessage();

const p = rsa.record.replace(/.*p=/, '');
const edP = ed25519.record.replace(/.*p=/, '');

const verdictOf = (...records: (string | string[])[]) => {
  const zone = { [`s1._domainkey.${domain}`]: records.map(record => (typeof record === 'string' ? [record] : record)) };
  const [verdict] = verdicts(rsaMessage, { zone, now, domain });
  return verdict;
};

const lines = (text: string, width: number, fold: string) =>
  text.replace(new RegExp(`.{${width}}`, 'g'), line => line + fold);

const records: [verdict: string, records: (string | string[])[]][] = [
  [
    'pass',
    [
      `v=DKIM1; k=rsa; p=${p}`,
      `v=DKIM1;k=rsa;p=${p};`,
      `v=DKIM1; p=${p}`,
      `p=${p}`,
      ` p = ${p} ; `,
      `k=rsa; p=${p}; v=DKIM1`,
      `v=DKIM1; k=RSA; p=${p}`,
      `v=DKIM1; k=rsa; p=${lines(p, 64, ' ')}`,
      `v=DKIM1; k=rsa; p=${lines(p, 64, '\r\n')}`,
      `v=DKIM1; k=rsa; p=${lines(p, 1, '\n\t ')}`,
      `v=DKIM1;\tk=rsa;\r\n p=${p}`,
      `v=DKIM1\\; k=rsa\\; p=${p}`,
      `"v=DKIM1; k=rsa; p=${p}"`,
      `"v=DKIM1; k=rsa; " "p=${p.slice(0, 90)}" "${p.slice(90)}"`,
      ['v=DKIM1; k=rsa; p=', p.slice(0, 100), p.slice(100)],
      ['v=DK', 'IM1; k=r', 'sa; p', `=${p}`, ''],
      [...`v=DKIM1; p=${p}`],
      `v=DKIM1; h=sha256; s=email; t=s; k=rsa; p=${p}`,
      `v=DKIM1; h=sha1 : SHA256 ; s=tlsrpt : Email; p=${p}`,
      `v=DKIM1; h=sha256:sha512; s=other:*; t=y : s : x; p=${p}`,
      `v=DKIM1; t=y; p=${p}`,
      `v=DKIM1; t=; p=${p}`,
      `v=DKIM1; n=b=1, "odd" notes; g=*; x-y_z=0; p=${p}`.replace('x-y_z', 'x_yz'),
      `v=DKIM1; K=dsa; H=sha1; S=none; P=; p=${p}`,
      `v=DKIM1; p=${p.replace(/=+$/, '')}`,
      `v=DKIM1; p=${p}; n=${'x'.repeat(65_536)}`,
      `v=DKIM1; ${Array.from({ length: 6000 }, (_, at) => `x${at}=y;`).join('')} p=${p}`,
    ],
  ],
  [
    'no DKIM record',
    [
      '',
      ' ',
      ';',
      'v=DKIM1',
      'v=DKIM1; k=rsa',
      `v=DKIM2; p=${p}`,
      `v=dkim1; p=${p}`,
      `v=; p=${p}`,
      `v=DKIM10; p=${p}`,
      `v=DKIM1 k=rsa; q=${p}`,
      `v=DKIM1; p=${p}; p=${p}`,
      `v=DKIM1; p=${p}; k=rsa; k=rsa`,
      `v=DKIM1;; p=${p}`,
      `v=DKIM1; p=${p};;`,
      `v=DKIM1; rsa; p=${p}`,
      `v=DKIM1; 1=2; p=${p}`,
      `v=DKIM1; P=${p}`,
      'v=spf1 -all',
      'google-site-verification=abc',
      `v=DKIM1, k=rsa, p=${p}`,
      '\0',
      'x'.repeat(65_536),
      ';'.repeat(65_536),
    ],
  ],
  ['revoked', ['v=DKIM1; p=', 'p=', 'p= ;', 'v=DKIM1; k=rsa; p=\r\n ; t=s', 'k=ed25519; p=']],
  ['unknown key type', ['dsa', '', 'rsa-sha256', 'ed448', 'rsa:ed25519', 'ed25519-sha256'].map(k => `k=${k}; p=${p}`)],
  ['not for email', ['', 'tlsrpt', 'e-mail', 'emails', ':', 'em ail'].map(s => `s=${s}; p=${p}`)],
  ['key does not allow sha256', ['', 'sha1', 'sha-256', 'sha2', 'sha256x', ':'].map(h => `h=${h}; p=${p}`)],
  [
    'malformed key',
    [
      ...[
        'A',
        '=',
        '====',
        'AAAA',
        '!!!!',
        `${p}=`,
        `=${p}`,
        p.slice(4),
        p.slice(0, -40),
        p.replace('M', 'm'),
        `${p.slice(0, 50)}*${p.slice(50)}`,
      ],
      ...[
        edP,
        Buffer.from(spki(ed25519.privateKey)).toString('base64'),
        'MAA=',
        p.replaceAll('/', '_').replaceAll('+', '-'),
        'A'.repeat(65_536),
      ],
    ].map(key => `p=${key}`),
  ],
  ['key type does not match a=', [ed25519.record]],
  ['malformed key', [`k=ed25519; p=${p}`]],
  ['signature does not match', [`p=${rsaSpki(modulus(1024), 65_537n).toString('base64')}`]],
];

for (const [verdict, list] of records) {
  test(`${verdict}: ${list.length} records`, () => {
    for (const record of list) assert.equal(verdictOf(record), verdict, JSON.stringify(record).slice(0, 200));
  });
}

test('other records beside it', () => {
  const others = [
    'v=spf1 include:_spf.example.com ~all',
    'google-site-verification=1a2b3c',
    '',
    'v=DMARC1; p=none',
    'p=',
    'v=DKIM1; p=AAAA',
  ];
  assert.equal(verdictOf(...others.slice(0, 4)), 'no DKIM record');
  assert.equal(verdictOf(...others.slice(0, 3), rsa.record), 'pass');
  assert.equal(verdictOf(rsa.record, ...others), 'pass');
  assert.equal(verdictOf(...others, rsa.record), 'pass');
  assert.equal(verdictOf(...others.slice(0, 3), 'p='), 'revoked');
  assert.equal(verdictOf('p=', 'v=spf1 -all', 'p=AAAA'), 'revoked');
  assert.equal(verdictOf(), 'no DKIM record');
});

const sizes: [verdict: string, bits: number[]][] = [
  ['RSA key size', [2, 40, 64, 128, 511, 512, 768, 1000, 1023, 8193, 10_000, 16_384, 16_385, 20_000]],
  ['signature does not match', [1024, 1025, 1536, 2048, 3072, 4096, 8191, 8192]],
];

test('RSA keys of all sizes, in both forms', () => {
  for (const [verdict, list] of sizes) {
    for (const bits of list) {
      const number = bits < 40 ? 3n : modulus(bits);
      for (const der of [rsaSpki(number, 65_537n), pkcs1(number, 65_537n)])
        assert.equal(verdictOf(`p=${der.toString('base64')}`), verdict, `${bits}`);
    }
  }
  const bare = pkcs1(
    BigInt(
      `0x${Buffer.from(p, 'base64')
        .subarray(29, 29 + 128)
        .toString('hex')}`,
    ),
    65_537n,
  );
  assert.equal(verdictOf(`p=${bare.toString('base64')}`), 'pass', 'RFC 6376 3.6.1: an RSAPublicKey');
});

test('exponents', () => {
  const verdictFor = (exponent: bigint) => verdictOf(`p=${rsaSpki(modulus(1024), exponent).toString('base64')}`);
  assert.equal(verdictFor(1n), 'RSA exponent 1');
  assert.equal(verdictOf(`p=${pkcs1(modulus(1024), 1n).toString('base64')}`), 'RSA exponent 1');
  for (const exponent of [0n, 2n, 3n, 4n, 17n, 65_536n, (1n << 64n) - 1n])
    assert.equal(verdictFor(exponent), 'signature does not match', `${exponent}`);
  for (const exponent of [1n << 64n, (1n << 64n) + 1n, modulus(1024) - 2n, modulus(1024), modulus(1025)])
    assert.equal(verdictFor(exponent), 'RSA exponent over 64 bits', `${exponent}`);
});

test('with exponent 1 anybody could sign, which mailauth passes', async () => {
  // The padded hash is its own signature. That of the real one is what the real key makes of it.
  const signature = Buffer.from(/ b=(\S+)/.exec(rsaMessage)?.[1] ?? '', 'base64');
  const padded = publicDecrypt({ key: createPublicKey(rsa.privateKey), padding: constants.RSA_NO_PADDING }, signature);
  const forged = rsaMessage.replace(/ b=\S+/, ` b=${padded.toString('base64')}`);
  const zone = zoneOf(`p=${rsaSpki(modulus(1024), 1n).toString('base64')}`);
  assert.deepEqual(verdicts(forged, { zone, now, domain }), ['RSA exponent 1']);
  assert.equal((await opinions(forged, zone, now))[0]?.passes, true);
});

test('a negative modulus and octets behind the key', () => {
  const der = rsaSpki(modulus(1024), 65_537n);
  const negative = Buffer.from(der);
  negative[negative.indexOf(Buffer.from([2, 0x81, 0x81, 0])) + 3] = 0xff;
  assert.equal(verdictOf(`p=${negative.toString('base64')}`), 'signature does not match');
  assert.equal(verdictOf(`p=${Buffer.concat([Buffer.from(p, 'base64'), Buffer.alloc(9)]).toString('base64')}`), 'pass');
});

test('keys of other kinds under k=rsa', () => {
  const pairs = [
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    generateKeyPairSync('ed448'),
    generateKeyPairSync('x25519'),
    generateKeyPairSync('rsa-pss', { modulusLength: 1024 }),
  ];
  for (const { publicKey } of pairs) {
    const key = publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
    assert.equal(verdictOf(`k=rsa; p=${key}`), 'malformed key');
    assert.equal(verdictOf(`k=ed25519; p=${key}`), 'malformed key');
  }
});

test('ed25519 keys of other lengths', () => {
  for (const length of [1, 31, 33, 44, 64, 1000]) {
    const result = readKeyRecords([[`k=ed25519; p=${Buffer.alloc(length, 7).toString('base64')}`]]);
    assert.equal(result, 'malformed key', `${length}`);
  }
});

test('ed25519 keys of small order verify nothing', () => {
  const points = [
    `01${'00'.repeat(31)}`,
    `ec${'ff'.repeat(30)}7f`,
    '00'.repeat(32),
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  ];
  // The identity with the factor 0, and the base point with the factor 1.
  const signatures = [`01${'00'.repeat(63)}`, `58${'66'.repeat(31)}01${'00'.repeat(31)}`];
  for (const point of points) {
    const record = `k=ed25519; p=${Buffer.from(point, 'hex').toString('base64')}`;
    for (const signature of signatures) {
      for (const subject of 'abcdefgh') {
        const tags = { h: `from:${subject}`, b: Buffer.from(signature, 'hex').toString('base64') };
        const verdict = verdicts(signedMessage({ key: ed25519, tags }), { zone: zoneOf(record), now, domain });
        assert.notDeepEqual(verdict, ['pass']);
      }
    }
  }
});
