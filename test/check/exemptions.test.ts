import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isExempt, type Passthrough } from '../../src/check/exemptions.ts';
import type { Evidence } from '../../src/message/scanner.ts';
import { scan } from '../message/scan.ts';
import { otherSpellings } from '../message/spellings.ts';
import { envelope } from './envelopes.ts';

const readable = scan(['From: me@one.test\r\n\r\nreadable\r\n']);
const none: Passthrough = { senders: [], recipients: [] };

test('without the keys nobody is exempt', () => {
  assert.ok(!isExempt(envelope('me@one.test', 'vic@one.test'), readable, none));
  assert.ok(!isExempt(envelope('', 'vic@one.test'), readable, none));
});

const recipients = ['vic@one.test', 'vic+tag@two.test', '@three.test', '@[10.0.0.1]'];

const passed: [name: string, recipients: string[]][] = [
  ['an address', ['vic@one.test']],
  ['any case', ['VIC@One.TEST']],
  ['an address with its tag', ['vic+tag@two.test']],
  ['anybody at a domain', ['any.body+x@three.test']],
  ['anybody at a domain, any case', ['ANY@THREE.Test']],
  ['anybody at an address literal', ['any@[10.0.0.1]']],
  ['several', ['vic@one.test', 'a@three.test', 'b@three.test']],
  ['the same one twice', ['vic@one.test', 'vic@one.test']],
];

const held: [name: string, recipients: string[]][] = [
  ['somebody else', ['eve@one.test']],
  ['another domain', ['vic@four.test']],
  ['one of several is somebody else', ['vic@one.test', 'eve@one.test']],
  ['the last of many', [...Array.from({ length: 999 }, () => 'vic@one.test'), 'eve@one.test']],
  ['a tag that is not in the list', ['vic+x@one.test']],
  ['no tag where the list has one', ['vic@two.test']],
  ['a subdomain', ['vic@sub.three.test']],
  ['a domain that ends so', ['vic@xthree.test']],
  ['a domain that begins so', ['vic@three.test.x']],
  ['a dot behind the domain', ['vic@three.test.']],
  ['the list entry itself', ['@three.test']],
  ['two @', ['vic@four.test@three.test']],
  ['a quoted @', ['"vic@four.test"@three.test']],
  ['a route', ['@three.test:vic@four.test']],
  ['a percent sign', ['vic%four.test@three.test']],
  ['an exclamation mark', ['four.test!vic@three.test']],
  ['nobody', []],
];

test('passthrough recipients', async t => {
  for (const [name, to] of passed) {
    await t.test(name, () =>
      assert.ok(isExempt(envelope('me@one.test', ...to), readable, { senders: [], recipients })),
    );
  }
});

test('recipients that are held back', async t => {
  for (const [name, to] of held) {
    await t.test(name, () =>
      assert.ok(!isExempt(envelope('me@one.test', ...to), readable, { senders: [], recipients })),
    );
  }
});

test('no other spelling of a mailbox is exempt, even where the list has it', async t => {
  for (const address of otherSpellings) {
    await t.test(JSON.stringify(address), () => {
      const lists = { senders: [address], recipients: [address, 'vic@one.test', '@one.test', '@one.test.', '@x.test'] };
      assert.ok(!isExempt(envelope('me@one.test', address), readable, lists));
      assert.ok(!isExempt(envelope(address, 'eve@four.test'), readable, lists));
    });
  }
});

test('passthrough senders', () => {
  const lists: Passthrough = { senders: ['bot@one.test'], recipients: [] };
  assert.ok(isExempt(envelope('bot@one.test', 'eve@four.test'), readable, lists));
  assert.ok(isExempt(envelope('BOT@One.test', 'eve@four.test', '"x"@y.test'), readable, lists));
  for (const sender of ['bot@two.test', 'bot+x@one.test', 'ot@one.test', '@one.test', ''])
    assert.ok(!isExempt(envelope(sender, 'eve@four.test'), readable, lists), sender);
});

function setup(change: { subject?: string; type?: string } = {}): Evidence {
  const { subject = 'Subject: Autocrypt Setup Message\r\n', type = 'multipart/mixed' } = change;
  return scan([`From: me@one.test\r\n${subject}Content-Type: ${type}; boundary=b\r\n\r\n--b\r\n\r\nkey\r\n--b--\r\n`]);
}

test('an Autocrypt Setup Message to self', async t => {
  const toSelf = envelope('me@one.test', 'me@one.test');
  assert.ok(isExempt(toSelf, setup(), none));
  assert.ok(isExempt(envelope('Me@One.test', 'mE@one.TEST'), setup(), none), 'any case');
  assert.ok(isExempt(toSelf, setup({ type: 'MULTIPART/Mixed' }), none), 'any case of the type');
  assert.ok(isExempt(toSelf, setup({ subject: 'Subject :Autocrypt\r\n Setup Message \r\n' }), none), 'folded');

  const otherwise: [name: string, to: string[], evidence: Evidence][] = [
    ['to somebody else', ['vic@one.test'], setup()],
    ['to self and somebody else', ['me@one.test', 'vic@one.test'], setup()],
    ['to self twice', ['me@one.test', 'me@one.test'], setup()],
    ['to nobody', [], setup()],
    ['to another spelling of self', ['"me"@one.test'], setup()],
    ['to self with a tag', ['me+x@one.test'], setup()],
    ['to self at another domain', ['me@two.test'], setup()],
    ['no subject', ['me@one.test'], setup({ subject: '' })],
    ['another subject', ['me@one.test'], setup({ subject: 'Subject: Hello\r\n' })],
    ['the subject in another case', ['me@one.test'], setup({ subject: 'Subject: autocrypt setup message\r\n' })],
    ['text behind the subject', ['me@one.test'], setup({ subject: 'Subject: Autocrypt Setup Message x\r\n' })],
    ['two blanks in the subject', ['me@one.test'], setup({ subject: 'Subject: Autocrypt  Setup Message\r\n' })],
    ['a no-break space', ['me@one.test'], setup({ subject: 'Subject: Autocrypt Setup Message\xa0\r\n' })],
    ['two subjects', ['me@one.test'], setup({ subject: 'Subject: Autocrypt Setup Message\r\n'.repeat(2) })],
    ['another type', ['me@one.test'], setup({ type: 'multipart/alternative' })],
    ['text', ['me@one.test'], setup({ type: 'text/plain' })],
    ['a malformed type', ['me@one.test'], setup({ type: 'multipart/mixed; boundary=c' })],
  ];
  for (const [name, to, evidence] of otherwise)
    await t.test(name, () => assert.ok(!isExempt(envelope('me@one.test', ...to), evidence, none)));
});
