import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { authorOf, parseMailbox } from '../../src/message/from.ts';
import { parseHeader } from '../../src/message/header.ts';

const long = 250 * 1024;

/** The text in lines that are not too long. */
function folded(text: string): string {
  return (text.match(/[\s\S]{1,900}/g) ?? []).join('\r\n ');
}

const oneMailbox: [name: string, value: string, address: string][] = [
  ['an address', ' a@b.test', 'a@b.test'],
  ['an address in brackets', ' <a@b.test>', 'a@b.test'],
  ['blanks around it', ' \t<a@b.test> ', 'a@b.test'],
  ['a name', ' Ann Other <a@b.test>', 'a@b.test'],
  ['a name without blank behind it', 'Ann<a@b.test>', 'a@b.test'],
  ['an empty quoted name', '"" <a@b.test>', 'a@b.test'],
  ['a name with dots', 'J. R. Other Jr. <a@b.test>', 'a@b.test'],
  ['a quoted name', '"Other, Ann" <a@b.test>', 'a@b.test'],
  ['a quoted name that looks like an address', '"vic@b.test" <a@b.test>', 'a@b.test'],
  ['a quoted name that looks like a mailbox', '"<vic@b.test>," <a@b.test>', 'a@b.test'],
  ['a quoted name with escapes', '"\\"<vic@b.test>\\" \\\\" <a@b.test>', 'a@b.test'],
  ['several quoted words', '"Ann" x "Other" <a@b.test>', 'a@b.test'],
  ['an encoded word', '=?utf-8?q?Ann_=40_Other?= <a@b.test>', 'a@b.test'],
  ['encoded words, folded', '=?utf-8?b?QW5u?=\r\n =?utf-8?b?QW5u?= <a@b.test>', 'a@b.test'],
  ['8-bit name', 'J\xc3\xb6rg <a@b.test>', 'a@b.test'],
  ['a name with no-break space', 'Ann\xc2\xa0Other <a@b.test>', 'a@b.test'],
  ['a comment behind', 'a@b.test (Ann Other)', 'a@b.test'],
  ['comments everywhere', '(1)Ann(2)<(3)a(4)@(5)b.test(6)>(7)', 'a@b.test'],
  ['a nested comment', 'a@b.test (Ann (Other\\)))', 'a@b.test'],
  ['folded', '\r\n Ann\r\n <a@b.test>', 'a@b.test'],
  ['folded within the address', '<a\r\n @\r\n\tb.test\r\n >', 'a@b.test'],
  ['obsolete blanks at dots', 'a . x @ b . test', 'a.x@b.test'],
  ['a comment at a dot', '<a.(x)x@b(y).test>', 'a.x@b.test'],
  ['dots in the local part', 'a.b.c@d.test', 'a.b.c@d.test'],
  ['all specials a local part may have', "!#$%&'*+-/=?^_`{|}~a@b.test", "!#$%&'*+-/=?^_`{|}~a@b.test"],
  ['a quoted local part', '"a.b"@c.test', 'a.b@c.test'],
  ['a quoted local part in brackets', 'Ann <"a"@b.test>', 'a@b.test'],
  ['an address literal', 'a@[10.0.0.1]', 'a@[10.0.0.1]'],
  ['an IPv6 literal', '<a@[IPv6:fd00::1]>', 'a@[IPv6:fd00::1]'],
  ['blanks within a literal', '<a@[ 10.0.0.1 ]>', 'a@[10.0.0.1]'],
  ['UTF-8', 'j\xc3\xb6rg@b\xc3\xbccher.test', 'j\xc3\xb6rg@b\xc3\xbccher.test'],
  ['case is kept', '<Ann@B.Test>', 'Ann@B.Test'],
  ['a name of 2000 octets', `${folded(`"${'x'.repeat(2000)}"`)} <a@b.test>`, 'a@b.test'],
  ['a line of 998 octets', `"${'x'.repeat(998 - 'From:"" <a@b.test>'.length)}" <a@b.test>`, 'a@b.test'],
];

const none: [name: string, value: string][] = [
  ['nothing', ''],
  ['blanks', ' \t\r\n '],
  ['a comment', '(a@b.test)'],
  ['a name', 'Ann Other'],
  ['a quoted name', '"a@b.test"'],
  ['empty brackets', '<>'],
  ['a name and empty brackets', 'Ann <>'],
  ['two addresses', 'a@b.test, vic@b.test'],
  ['two addresses, no blank', 'a@b.test,vic@b.test'],
  ['two mailboxes', '<a@b.test>, <vic@b.test>'],
  ['two mailboxes without comma', '<a@b.test> <vic@b.test>'],
  ['the same address twice', 'a@b.test, a@b.test'],
  ['two addresses in one pair of brackets', '<a@b.test,vic@b.test>'],
  ['two addresses, semicolon', 'a@b.test; vic@b.test'],
  ['a comma behind', '<a@b.test>,'],
  ['a comma before', ', <a@b.test>'],
  ['a second address behind a name', 'vic@b.test <a@b.test>'],
  ['an unquoted name with @', 'Ann @ Home <a@b.test>'],
  ['an unquoted name that is the address', 'a@b.test <a@b.test>'],
  ['an unquoted comma in the name', 'Other, Ann <a@b.test>'],
  ['an unquoted bracket in the name', 'Ann [x] <a@b.test>'],
  ['a backslash in the name', 'Ann\\ <a@b.test>'],
  ['an empty group', 'us:;'],
  ['a group of one', 'us: a@b.test;'],
  ['a group of two', 'us: a@b.test, vic@b.test;'],
  ['a group and an address', 'us:; a@b.test'],
  ['a route', '<@x.test:a@b.test>'],
  ['a route of two', '<@x.test,@y.test:a@b.test>'],
  ['nested brackets', '<<a@b.test>>'],
  ['no closing bracket', '<a@b.test'],
  ['no opening bracket', 'a@b.test>'],
  ['text behind', '<a@b.test> x'],
  ['text behind an address', 'a@b.test x'],
  ['two @', 'vic@x@b.test'],
  ['no local part', '@b.test'],
  ['no domain', 'a@'],
  ['a dot at the start', '.a@b.test'],
  ['a dot before the @', 'a.@b.test'],
  ['two dots', 'a..b@c.test'],
  ['a dot at the end of the domain', 'a@b.test.'],
  ['a blank within the local part', 'vic a@b.test'],
  ['a blank within the domain', '<a@b test>'],
  ['a quoted local part with a blank', '"a b"@c.test'],
  ['a quoted local part with an @', '"vic@b.test"@c.test'],
  ['a quoted local part with an escaped quote', '"a\\"b"@c.test'],
  ['an empty quoted local part', '""@b.test'],
  ['a local part that is quoted in pieces', '"a"."b"@c.test'],
  ['a quote that does not end', '"Ann <a@b.test>'],
  ['a quote that does not end in the address', '<"a@b.test>'],
  ['a comment that does not end', 'a@b.test (Ann'],
  ['a comment that does not end before', '(<a@b.test>'],
  ['a closing parenthesis alone', 'a@b.test )'],
  ['an open literal', 'a@[10.0.0.1'],
  ['an empty literal', 'a@[]'],
  ['a literal with a backslash', 'a@[10.0.0\\.1]'],
  ['text behind a literal', 'a@[10.0.0.1].test'],
  ['NUL', 'a\0@b.test'],
  ['a control character in the name', 'A\x0bn <a@b.test>'],
  ['a form feed for a blank', '\fa@b.test'],
  ['DEL', 'a\x7f@b.test'],
  ['250 KiB of quotes', '"'.repeat(long)],
  ['250 KiB of open comments', '('.repeat(long)],
  ['250 KiB of @', '@'.repeat(long)],
  ['250 KiB of addresses', 'a@b.test,'.repeat(long / 9)],
  ['250 KiB of brackets', '<'.repeat(long)],
];

test('one mailbox', async t => {
  for (const [name, value, address] of oneMailbox) {
    await t.test(name, () => assert.equal(parseMailbox(value), address));
  }
});

test('no mailbox or more than one', async t => {
  for (const [name, value] of none) await t.test(name, () => assert.equal(parseMailbox(value), null));
});

test('a no-break space is part of a word, never a blank', () => {
  assert.equal(parseMailbox('\xa0<a@b.test>'), 'a@b.test');
  assert.equal(parseMailbox('\xa0a@b.test'), '\xa0a@b.test');
  assert.equal(parseMailbox('a@b.test\xa0'), 'a@b.test\xa0');
  assert.equal(parseMailbox('<a@b.test>\xa0'), null);
});

const headers: [name: string, header: string, author: string | null][] = [
  ['one field', 'From: a@b.test\r\n', 'a@b.test'],
  ['a blank before the colon', 'From : a@b.test\r\n', 'a@b.test'],
  ['any case', 'fRoM:a@b.test\r\n', 'a@b.test'],
  ['other fields with addresses', 'Sender: x@b.test\r\nFrom: a@b.test\r\nReply-To: y@b.test\r\n', 'a@b.test'],
  ['none', 'To: a@b.test\r\n', null],
  ['two', 'From: a@b.test\r\nFrom: vic@b.test\r\n', null],
  ['two alike', 'From: a@b.test\r\nFrom: a@b.test\r\n', null],
  ['a second one, blank before the colon', 'From: a@b.test\r\nFROM\t: vic@b.test\r\n', null],
  ['a second, empty one', 'From: a@b.test\r\nFrom:\r\n', null],
  ['an empty one', 'From:\r\n', null],
  ['names that only begin or end so', 'From-X: x@b.test\r\nResent-From: y@b.test\r\n', null],
];

/**
 * Postfix rewrites the addresses of the header when the message comes back, and what it does not read is lost: all behind 10,240 tokens
 * (header_address_token_limit) or 102,400 octets (header_size_limit). `From: vic ()()() ... <a@b.test>` so becomes `From: vic@b.test`,
 * `two.test!vic` for the name becomes `vic@two.test`. It breaks lines of more than 998 octets, within an address too.
 */
const otherForPostfix: [name: string, value: string][] = [
  ['10,240 comments', folded(`vic ${'()'.repeat(10_240)} <a@b.test>`)],
  ['10,240 comments behind a bang path', folded(`two.test!vic ${'()'.repeat(10_240)} <a@b.test>`)],
  ['10,240 dots', folded(`vic ${'.'.repeat(10_240)} <a@b.test>`)],
  ['10,240 words', folded(`vic ${'x '.repeat(10_240)} <a@b.test>`)],
  ['a comment of 102,400 octets', folded(`vic (${'x'.repeat(102_400)}) <a@b.test>`)],
  ['a quoted name of 102,400 octets', folded(`"vic@two.test ${'x'.repeat(102_400)}" <a@b.test>`)],
  ['102,400 blanks', folded(`vic <${' '.repeat(102_400)}a@b.test>`)],
  ['a line that is broken in the address', `${' '.repeat(991)}avic@b.test`],
  ['a line of 999 octets', `"${'x'.repeat(999 - 'From:"" <a@b.test>'.length)}" <a@b.test>`],
  ['a continuation of 999 octets', `Ann\r\n${' '.repeat(990)}<a@b.test>`],
  ['a quoted name of 250 KiB', folded(`"${'x'.repeat(long)}" <a@b.test>`)],
  ['250 KiB of folded blanks', `${'\r\n '.repeat(long / 3)}<a@b.test>`],
];

test('a field that Postfix would cut or break has no author', async t => {
  for (const [name, value] of otherForPostfix) {
    await t.test(name, () => {
      const header = parseHeader(`From:${value}\r\n`);
      assert.ok(Array.isArray(header));
      assert.equal(authorOf(header), null);
    });
  }
});

test('the author of a header', async t => {
  for (const [name, lines, author] of headers) {
    await t.test(name, () => {
      const header = parseHeader(lines);
      assert.ok(Array.isArray(header));
      assert.equal(authorOf(header), author);
    });
  }
});

describe('encoded words whose text means something to a parser of addresses (RFC 2047 5)', () => {
  const refused = [
    '=?utf-8?q?"?= <eve@three.test> ( =?utf-8?q?"?= <me@two.test> (x)',
    '=?utf-8?q?Eve(?= <eve@three.test> ( =?utf-8?q?))?= <me@two.test> (x)',
    '=?utf-8?q?a@b?= <me@two.test>',
    '"=?utf-8?q?a"b?=" <me@two.test>',
    '=?"?q?x?= <me@two.test>',
    '=?utf-8?q?a\\?= <me@two.test>',
  ];
  for (const value of refused) test(`${value}: nobody`, () => assert.equal(parseMailbox(value), null));
  const taken = [
    '=?UTF-8?Q?M=C3=BCller?= <me@two.test>',
    '"=?UTF-8?Q?M=C3=BCller?=" <me@two.test>',
    '=?utf-8?B?TcO8bGxlcg==?= =?utf-8?B?TcO8bGxlcg==?= <me@two.test>',
    '=?utf-8?q?=41=3F?= <me@two.test>',
    '=? <me@two.test>',
    '"what=?" <me@two.test> (=?)',
  ];
  for (const value of taken) test(`${value}: me@two.test`, () => assert.equal(parseMailbox(value), 'me@two.test'));
});
