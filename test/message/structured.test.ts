import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FieldCursor } from '../../src/message/structured.ts';

/** What stands behind white space and comments; null when a comment is not closed. */
const blanks: [name: string, text: string, rest: string | null][] = [
  ['nothing', '', ''],
  ['no blanks', 'x', 'x'],
  ['all blanks there are', ' \t\r\n\t x ', 'x '],
  ['a comment', '(a)x', 'x'],
  ['comments and blanks', ' (a) (b)\r\n (c)\tx', 'x'],
  ['an empty comment', '()x', 'x'],
  ['nested comments', '(a(b)(c(d)))x', 'x'],
  ['an escaped parenthesis', '(a\\)b\\(c)x', 'x'],
  ['an escaped backslash', '(a\\\\)x', 'x'],
  ['quotes mean nothing in a comment', '(")x(")', 'x(")'],
  ['8-bit in a comment', '(\xe9\xa0)x', 'x'],
  ['a no-break space is no blank', '\xa0x', '\xa0x'],
  ['a form feed is no blank', '\fx', '\fx'],
  ['a closing parenthesis is none of it', ')x', ')x'],
  ['an open comment', '(a', null],
  ['an open nested comment', '(a(b)', null],
  ['an escape at the end', '(a\\', null],
  ['an escaped closing parenthesis at the end', '(a\\)', null],
  ['100,000 nested comments', `${'('.repeat(100_000)}${')'.repeat(100_000)}x`, 'x'],
  ['100,000 comments in a row', `${'() '.repeat(100_000)}x`, 'x'],
  ['100,000 open comments', '('.repeat(100_000), null],
];

test('white space and comments', async t => {
  for (const [name, text, rest] of blanks) {
    await t.test(name, () => {
      const cursor = new FieldCursor(text);
      assert.equal(cursor.skipBlanks() ? text.slice(cursor.at) : null, rest);
    });
  }
});

const quotedStrings: [name: string, text: string, content: string | null][] = [
  ['a word', '"a"', 'a'],
  ['nothing in it', '""', ''],
  ['blanks and specials', '" a@b <c>, (d); "', ' a@b <c>, (d); '],
  ['escapes', '"a\\"b\\\\c\\d"', 'a"b\\cd'],
  ['folded', '"a\r\n b"', 'a b'],
  ['8-bit', '"\xc3\xa9\xa0"', '\xc3\xa9\xa0'],
  ['only up to the closing quote', '"a"b"', 'a'],
  ['no quote', 'a', null],
  ['not closed', '"a', null],
  ['an escaped closing quote', '"a\\"', null],
  ['an escape at the end', '"a\\', null],
  ['100,000 escapes', `"${'\\"'.repeat(100_000)}"`, '"'.repeat(100_000)],
];

test('quoted strings', async t => {
  for (const [name, text, content] of quotedStrings) {
    await t.test(name, () => assert.equal(new FieldCursor(text).quotedString(), content));
  }
});

test('a cursor takes what is next and nothing else', () => {
  const cursor = new FieldCursor('ab=c');
  assert.equal(cursor.match(/[a-z]+/y), 'ab');
  assert.equal(cursor.match(/[a-z]+/y), null);
  assert.equal(cursor.match(/[a-z]*/y), null);
  assert.equal(cursor.next, '=');
  assert.equal(cursor.take('c'), false);
  assert.equal(cursor.take('='), true);
  assert.equal(cursor.done, false);
  assert.equal(cursor.take('c'), true);
  assert.equal(cursor.done, true);
  assert.equal(cursor.next, '');
  assert.equal(cursor.take(''), false);
});
