// d=, s= and i= in odd and evil forms. Every signature is made as it stands, under a key that is found wherever the verifier looks.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { domain, now, signedMessage } from './signer.ts';
import { rsa } from './test-keys.ts';
import { verdicts, type Zone } from './verify.ts';

/** One key at every name. */
const anywhere: Zone = new Proxy({}, { get: () => [[rsa.record]] });
const strictAnywhere: Zone = new Proxy({}, { get: () => [[`${rsa.record}; t=y:s`]] });

const latin1 = (text: string) => Buffer.from(text).toString('latin1');

const verdictOf = (tags: Record<string, string | null>, author = domain, zone = anywhere) =>
  verdicts(signedMessage({ tags }), { zone, now, domain: author });

const label63 = 'a'.repeat(63);
const longest = `${label63}.${label63}.${label63}.${'b'.repeat(61)}`;

const domains: [verdict: string, d: string, author?: string][] = [
  ['pass', 'EXAMPLE.ORG'],
  ['pass', domain, 'Example.Org'],
  ['pass', 'eXaMpLe.oRg', 'ExAmPlE.OrG'],
  ['pass', 'localhost', 'localhost'],
  ['pass', '_x._y.example.org', '_x._y.example.org'],
  ['pass', 'xn--mnchen-3ya.example', 'xn--mnchen-3ya.example'],
  ['pass', latin1('münchen.example'), latin1('münchen.example')],
  ['pass', `${label63}.org`, `${label63}.org`],
  ['pass', longest, longest],
  ['pass', '127.0.0.1', '127.0.0.1'],
  // Nothing but ASCII is folded: these octets may be halves of UTF-8 characters.
  ['unaligned', latin1('MÜNCHEN.example'), latin1('münchen.example')],
  ['unaligned', 'xn--mnchen-3ya.example', latin1('münchen.example')],
  ['unaligned', 'org'],
  ['unaligned', `sub.${domain}`],
  ['unaligned', domain, `sub.${domain}`],
  ['unaligned', `not${domain}`],
  ['unaligned', domain, `not${domain}`],
  ['unaligned', `${domain}.`],
  ['unaligned', `.${domain}`],
  ['unaligned', 'example..org'],
  ['unaligned', `@${domain}`],
  ['unaligned', `a@${domain}`],
  ['unaligned', `"${domain}"`],
  ['unaligned', `(c)${domain}`],
  ['unaligned', `${domain},other.test`],
  ['unaligned', `other.test:${domain}`],
  ['unaligned', domain.replace('e', '=65')],
  ['unaligned', `${domain}\0`],
  ['unaligned', ''],
  ['domain', `${domain}.`, `${domain}.`],
  ['domain', 'example..org', 'example..org'],
  ['domain', '.', '.'],
  ['domain', '-a.org', '-a.org'],
  ['domain', 'a-.org', 'a-.org'],
  ['domain', `a${label63}.org`, `a${label63}.org`],
  ['domain', `${longest}b`, `${longest}b`],
  ['domain', `${longest}.org`, `${longest}.org`],
  ['domain', '[127.0.0.1]', '[127.0.0.1]'],
  ['domain', 'a/b.org', 'a/b.org'],
  ['domain', '*.org', '*.org'],
  ['domain', 'a%b.org', 'a%b.org'],
  ['domain', 'a\0.org', 'a\0.org'],
];

test('d=', () => {
  for (const [verdict, d, author] of domains) assert.deepEqual(verdictOf({ d }, author), [verdict], `${d} ${author}`);
});

test('d= missing or twice names no domain', () => {
  assert.deepEqual(verdictOf({ d: null }), ['unaligned']);
  assert.deepEqual(verdictOf({ d: null, D: domain }), ['unaligned']);
  assert.deepEqual(verdictOf({ x1: `y; d=${domain}` }), ['unaligned']);
});

test('names are not folded inside (RFC 6376 3.5, 6.1.1)', () => {
  for (const blank of [' ', '\t', '\r\n ']) {
    assert.notDeepEqual(verdictOf({ d: `exam${blank}ple.org` }), ['pass'], 'd=');
    assert.notDeepEqual(verdictOf({ s: `s${blank}1` }), ['pass'], 's=');
  }
});

const selectors: [verdict: string, selectors: (string | null)[]][] = [
  ['pass', ['s1', 'S1', 'a.b.c', '2024', '_s', 's_1', 's-1', 'xn--x', latin1('schlüssel'), label63, '1']],
  [
    'selector',
    [
      null,
      '',
      '.',
      's1.',
      '.s1',
      'a..b',
      '-s',
      's-',
      `a${label63}`,
      `${longest}.x`,
      's*',
      '*',
      's/1',
      's@1',
      's:1',
      's1,s2',
      '"s1"',
      's\0',
      '=s',
    ],
  ],
];

test('s=', () => {
  for (const [verdict, list] of selectors) for (const s of list) assert.deepEqual(verdictOf({ s }), [verdict], `${s}`);
});

test('the key is looked up in lower case, under _domainkey', () => {
  const asked: (string | symbol)[] = [];
  const zone = new Proxy({}, { get: (_, name) => asked.push(name) && [[rsa.record]] });
  verdictOf({ s: 'SeLeCtor.B', d: 'EXAMPLE.org' }, domain, zone);
  assert.deepEqual(asked, ['selector.b._domainkey.example.org']);
});

/** i= may be folded anywhere (2.11); its local part means nothing to us. */
const under = [
  '@example.org',
  'a@example.org',
  '@EXAMPLE.ORG',
  'A.b+c@example.org',
  '"x y"@example.org',
  'x=3Dy@example.org',
  '@x,@example.org',
  '@ example\r\n .\torg',
];
const below = [
  '@sub.example.org',
  'a@a.b.c.example.org',
  '@SUB.Example.Org',
  '@example.org.example.org',
  '@_x.example.org',
];
const elsewhere = [
  ...[
    '@notexample.org',
    '@org',
    '@',
    '',
    'example.org',
    '@example.org.',
    '@example.org.evil.test',
    '@evil.test',
    'a@-example.org',
  ],
  ...[
    '@example.com',
    '@example.org@evil.test',
    'example.org@',
    '@example=2Eorg',
    '@example.or',
    '@xample.org',
    '@example.org\0',
  ],
  ...['a=40example.org', '@evil.test/.example.orgx', '@\xe9example.org'],
];

test('i= is under d=', () => {
  for (const i of [...under, ...below]) assert.deepEqual(verdictOf({ i }), ['pass'], i);
  for (const i of elsewhere) assert.deepEqual(verdictOf({ i }), ['identity'], i);
});

test('i= is a domain name (RFC 6376 3.5)', () => {
  for (const i of [
    '@.example.org',
    '@..example.org',
    '@a..example.org',
    '@evil.test/.example.org',
    '@evil.test\0.example.org',
    `@${label63}a.example.org`,
  ])
    assert.deepEqual(verdictOf({ i }), ['identity'], i);
});

test('i= is d= itself where the key says t=s', () => {
  assert.deepEqual(verdictOf({}, domain, strictAnywhere), ['pass']);
  for (const i of under) assert.deepEqual(verdictOf({ i }, domain, strictAnywhere), ['pass'], i);
  for (const i of below)
    assert.deepEqual(verdictOf({ i }, domain, strictAnywhere), ['i= is not d=, which the key demands'], i);
});

test('the author is the only one in From', () => {
  const from = (...fields: string[]) =>
    verdicts(signedMessage({ header: `${fields.map(field => `From: ${field}\r\n`).join('')}To: x\r\n` }), {
      zone: anywhere,
      now,
    });
  assert.deepEqual(from('A <a@example.org>'), ['pass']);
  assert.deepEqual(from('"a@other.test" <a@Example.ORG>'), ['pass']);
  assert.deepEqual(from('"a@example.org" <a@other.test>'), ['unaligned']);
  for (const list of ['a@example.org, b@other.test', 'b@other.test, a@example.org', 'g: a@example.org;', '', '<>'])
    assert.equal(from(list), 'no single author', list);
  assert.equal(from('a@example.org', 'b@other.test'), 'no single author');
  assert.equal(from('a@example.org', 'a@example.org'), 'no single author');
  const added = `From: b@other.test\r\n${signedMessage({ header: 'From: a@example.org\r\nTo: x\r\n' })}`;
  assert.equal(verdicts(added, { zone: anywhere, now }), 'no single author');
});
