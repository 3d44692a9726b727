// Where our verdict and mailauth's differ, each with the section that decides. README tells of ours.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { opinions } from './oracle.ts';
import { domain, now, signedMessage, zoneOf } from './signer.ts';
import { rsa } from './test-keys.ts';
import { verdicts } from './verify.ts';

type Case = Readonly<{
  tags?: Record<string, string | null>;
  signs?: NonNullable<Parameters<typeof signedMessage>[0]>['signs'];
  body?: string;
  record?: string;
  at?: number;
  change?: (message: string) => string;
}>;

const publicKey = rsa.record.replace(/.*p=/, '');

const whatWeRefuse: [why: string, verdict: string, example: Case][] = [
  [
    'a signature of the future (RFC 6376 3.5, t=: MAY)',
    'signed in the future',
    { tags: { t: `${now}` }, at: now - 601 },
  ],
  [
    'a body that is signed in part (8.2)',
    'l= is not the length of the body',
    { tags: { l: '3' }, signs: { length: 3 }, body: 'Hi.\r\nmore\r\n' },
  ],
  [
    'a body of which nothing is signed (8.2)',
    'l= is not the length of the body',
    { tags: { l: '0' }, signs: { length: 0 } },
  ],
  [
    'a second Subject above the one that is signed (8.15)',
    'a field stands more often than it is signed',
    { tags: { h: 'from:to:subject' }, change: message => `Subject: forged\r\n${message}` },
  ],
  ['l= beyond the body (3.5, l=: MUST NOT)', 'l= is not the length of the body', { tags: { l: '6' } }],
  ['empty names in h= (3.5)', 'malformed h=', { tags: { h: 'from::to' } }],
  ['names in h= with blanks inside (3.5)', 'malformed h=', { tags: { h: 'fr om:to' } }],
  ['an empty c= (3.5)', 'canonicalization', { tags: { c: '' } }],
  ['c= that ends in a slash (3.5)', 'canonicalization', { tags: { c: 'relaxed/' } }],
  ['c= with three forms (3.5)', 'canonicalization', { tags: { c: 'relaxed/relaxed/relaxed' } }],
  ['b= that is not base64 (2.10)', 'malformed b=', { tags: { b: '*=' } }],
  ['b= with octets of no alphabet (2.10)', 'malformed b=', { tags: { b: '!*' } }],
  ['an @ of i= that is encoded (3.5)', 'identity', { tags: { i: 'a=40example.org' } }],
  ['an empty k= (3.6.1)', 'unknown key type', { record: `k=; p=${publicKey}` }],
  [
    'two signers in From (6.1.1, 8.15)',
    'no single author',
    { change: message => `From: evil@other.test\r\n${message}` },
  ],
  ['another domain than that of From', 'unaligned', { tags: { d: 'other.test', i: null } }],
];

const whatWeAccept: [why: string, example: Case][] = [
  ['five minutes behind x= (3.5, x=)', { tags: { x: `${now}` }, at: now + 300 }],
  ['a local part of i= that is none (3.5)', { tags: { i: 'a b@c@example.org' } }],
  ['a key record with v= not first (3.6.1)', { record: `k=rsa; p=${publicKey}; v=DKIM1` }],
  ['quotes that stayed in a key record (3.6.2.2)', { record: `"${rsa.record}"` }],
  ['backslashes before its semicolons (3.6.2.2)', { record: rsa.record.replaceAll(';', '\\;') }],
  ['a domain of one label (3.5)', { tags: { d: 'localhost' } }],
  ['an underscore in d= (3.5)', { tags: { d: '_x.example.org' } }],
  ['bh= without its padding, as 2.10 allows', { signs: { fold: base64 => base64.replace(/=+$/, '') } }],
];

function run({ tags = {}, signs = {}, body = 'Hi.\r\n', record = rsa.record, at = now, change = text => text }: Case) {
  const message = change(signedMessage({ tags, signs, body }));
  const author = tags.d ?? domain;
  const zone = { ...zoneOf(record), [`s1._domainkey.${author}`]: [[record]] };
  return { message, zone, at };
}

test('what we refuse and mailauth passes', async () => {
  for (const [why, verdict, example] of whatWeRefuse) {
    const { message, zone, at } = run(example);
    assert.deepEqual([verdicts(message, { zone, now: at })].flat(), [verdict], why);
    assert.deepEqual(
      (await opinions(message, zone, at)).map(({ passes }) => passes),
      [true],
      why,
    );
  }
});

test('what we pass and mailauth refuses', async () => {
  for (const [why, example] of whatWeAccept) {
    const { message, zone, at } = run(example);
    const author = example.tags?.d ?? domain;
    assert.deepEqual(verdicts(message, { zone, now: at, domain: author }), ['pass'], why);
    assert.deepEqual(
      (await opinions(message, zone, at)).map(({ passes }) => passes),
      [false],
      why,
    );
  }
});

test('a signature that names its own field never verifies (3.5, h=: MUST NOT), but it may name others', async () => {
  const tags = { h: 'from:dkim-signature' };
  const zone = zoneOf(rsa.record);
  const message = signedMessage({ tags });
  assert.deepEqual(verdicts(message, { zone, now }), ['signature does not match']);
  assert.equal((await opinions(message, zone, now))[0]?.passes, false);
  const [header = '', body = ''] = signedMessage().split('\r\n\r\n');
  const twice = signedMessage({ header: `${header}\r\n`, body, tags });
  assert.deepEqual(verdicts(twice, { zone, now }), ['pass', 'pass']);
});
