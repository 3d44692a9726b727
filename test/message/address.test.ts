import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  foldCase,
  isDomain,
  isDotStringAddress,
  isPlainAddress,
  plainMailbox,
  sameAddress,
  splitAddress,
} from '../../src/message/address.ts';
import { otherSpellings } from './spellings.ts';

test('only ASCII letters are folded', () => {
  assert.equal(foldCase('AZaz09[\\]^_`@{|}~'), 'azaz09[\\]^_`@{|}~');
  // \xc3\x89 is an upper-case letter in UTF-8; \xc9 alone would be one in latin1.
  assert.equal(foldCase('\xc3\x89\xc9\xdeX'), '\xc3\x89\xc9\xdex');
  assert.equal(foldCase('already lower'), 'already lower');
  const octets = String.fromCharCode(...Array.from({ length: 256 }, (_, octet) => octet));
  assert.equal(foldCase(octets), octets.replace('ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz'));
});

test('same address', () => {
  assert.ok(sameAddress('Me@One.Test', 'mE@oNE.tEST'));
  assert.ok(sameAddress('', ''));
  for (const other of ['me@one.tes', 'me@one.test.', 'me@one.test ', '"me"@one.test', 'me+x@one.test', ''])
    assert.ok(!sameAddress('me@one.test', other), other);
  assert.ok(!sameAddress('\xc3\x89@one.test', '\xc3\xa9@one.test'));
});

test('an address is split at its last @', () => {
  assert.deepEqual(splitAddress('a@b'), { localPart: 'a', domain: 'b' });
  assert.deepEqual(splitAddress('"a@b"@c'), { localPart: '"a@b"', domain: 'c' });
  for (const none of ['', 'a', '@', 'a@', '@b', 'a@b@']) assert.equal(splitAddress(none), null, none);
});

const label63 = 'a'.repeat(63);
const domain255 = `${label63}.${label63}.${label63}.${label63}`;

const domains = [
  'a',
  'a.b.test',
  'A-1.b--c.test',
  '_dmarc.test',
  'xn--bcher-kva.test',
  'b\xc3\xbccher.test',
  '1.2.3.4',
  domain255,
  '[10.0.0.1]',
  '[255.255.255.255]',
  '[IPv6:::1]',
  '[ipv6:FD00::10.0.0.1]',
];
const noDomains = [
  '',
  '.',
  'a.',
  '.a',
  'a..b',
  '-a.test',
  'a-.test',
  `a${label63}.test`,
  `a.${domain255}`,
  'a b',
  'a\tb',
  'a\0',
  'a,b',
  'a:25',
  'a/b',
  'a@b',
  '[10.0.0.1',
  '10.0.0.1]',
  '[]',
  '[10.0.0]',
  '[10.0.0.1.2]',
  '[10.0.0.256]',
  '[10.0.0.999]',
  '[ 10.0.0.1]',
  '[fd00::1]',
  '[IPv6:]',
  '[a.test]',
];

test('domains', async t => {
  for (const domain of domains) await t.test(JSON.stringify(domain), () => assert.ok(isDomain(domain)));
  for (const domain of noDomains) await t.test(`not ${JSON.stringify(domain)}`, () => assert.ok(!isDomain(domain)));
});

const dotStrings = [
  'me@one.test',
  'ME@ONE.TEST',
  'a.b.c@one.test',
  "!#$%&'*+-/=?^_`{|}~@one.test",
  'me+tag@one.test',
  'd!me@one.test',
  'me%d@one.test',
  'j\xc3\xb6rg@one.test',
  'me@b\xc3\xbccher.test',
  'me@[10.0.0.1]',
  `${'a'.repeat(64)}@one.test`,
];
const noDotStrings = [
  '',
  'me',
  '@one.test',
  'me@',
  '"me"@one.test',
  '"m e"@one.test',
  '.me@one.test',
  'me.@one.test',
  'm..e@one.test',
  'm e@one.test',
  'm\\e@one.test',
  'm\te@one.test',
  'm\0e@one.test',
  'm\x7fe@one.test',
  'm,e@one.test',
  'm:e@one.test',
  'm;e@one.test',
  'm(e)@one.test',
  'm<e@one.test',
  'me@x@one.test',
  '@x.test:me@one.test',
  '@x.test,@y.test:me@one.test',
  'me@one.test.',
  'me@one..test',
  // No UTF-8: an octet alone, an overlong form, a surrogate, a character cut off.
  'm\xa0e@one.test',
  'm\xff@one.test',
  'm\xc0\xafe@one.test',
  'm\xed\xa0\x80@one.test',
  'me@b\xc3.test',
];

test('Dot-string addresses', async t => {
  for (const address of dotStrings) await t.test(address, () => assert.ok(isDotStringAddress(address)));
  for (const address of noDotStrings)
    await t.test(`not ${JSON.stringify(address)}`, () => assert.ok(!isDotStringAddress(address)));
});

test('one spelling of a mailbox is plain, and its case and tag do not matter', () => {
  for (const address of ['vic@one.test', 'VIC@One.TEST', 'vic+tag@one.test', 'Vic+T.a_g-1@ONE.test']) {
    assert.ok(isPlainAddress(address), address);
    assert.equal(plainMailbox(address, ['one.test', '[10.0.0.1]']), 'vic@one.test', address);
  }
  assert.equal(plainMailbox('a.b-c_1@one.test', ['one.test']), 'a.b-c_1@one.test');
  assert.equal(plainMailbox('vic+x@[10.0.0.1]', ['one.test', '[10.0.0.1]']), 'vic@[10.0.0.1]');
});

test('other spellings', async t => {
  for (const address of otherSpellings) {
    await t.test(JSON.stringify(address), () => {
      assert.ok(!isPlainAddress(address));
      assert.equal(plainMailbox(address, ['one.test', 'x.test']), null);
    });
  }
});

test('a mailbox is looked for in exactly the local domains', () => {
  for (const domain of ['two.test', 'sub.one.test', 'test', 'xone.test', 'one.test.x'])
    assert.equal(plainMailbox(`vic@${domain}`, ['one.test']), null, domain);
  assert.equal(plainMailbox('vic@one.test', []), null);
});

test('a mailbox name never leaves its directory', () => {
  for (const address of ['..@one.test', '.@one.test', '../x@one.test', 'a/b@one.test', 'a\0@one.test', '..+x@one.test'])
    assert.equal(plainMailbox(address, ['one.test']), null, address);
});
