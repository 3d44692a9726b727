// Messages that real relays signed, under the keys they published: every one verifies, and none does once it is changed.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { verdicts } from './verify.ts';

const directory = new URL('../../messages/deltachat/', import.meta.url);
const records: Record<string, string[]> = JSON.parse(readFileSync(new URL('dns.json', directory), 'utf8'));
const names = readdirSync(directory).filter(name => /-incoming-.*\.eml$/.test(name));

const zone = Object.fromEntries(Object.entries(records).map(([name, strings]) => [name, [strings]]));

/** Why the message does not verify at that time (seconds since 1970; null: when it was signed); null when it does. */
function fault(message: string, at: number | null = null): string | null {
  const now = at ?? Number(/^DKIM-Signature:(?:.*\r\n[ \t])*.*\bt=(\d+)/im.exec(message)?.[1] ?? 0);
  const words = verdicts(message, { zone, now });
  const [verdict = 'no candidate'] = typeof words === 'string' ? [words] : words.filter(word => word !== 'unaligned');
  return verdict === 'pass' ? null : verdict;
}

test('every one verifies', () => {
  assert.ok(names.length > 20);
  for (const name of names) assert.equal(fault(readFileSync(new URL(name, directory), 'latin1')), null, name);
});

const changes: [name: string, change: (message: string) => string, fault: string][] = [
  [
    'an octet of the body',
    message => message.replace(/\r\n\r\n[\s\S]*?([A-Za-z])/, text => `${text}x`),
    'body hash does not match',
  ],
  ['a line more', message => `${message}more\r\n`, 'body hash does not match'],
  ['a signed field', message => message.replace(/^Date: /m, 'Date: Mon '), 'signature does not match'],
  ['another author', message => message.replace(/^(From: .*<)\w+@/m, '$1mallory@'), 'signature does not match'],
  ['the algorithm', message => message.replace('a=rsa-sha256', 'a=rsa-sha1'), 'algorithm'],
];

test('none does once it is changed', async t => {
  const [name = ''] = names;
  const message = readFileSync(new URL(name, directory), 'latin1');
  for (const [what, change, expected] of changes) {
    await t.test(what, () => {
      const changed = change(message);
      assert.notEqual(changed, message);
      assert.equal(fault(changed), expected);
    });
  }
  await t.test('trailing empty lines and, relaxed, blanks at line ends are no change', () => {
    assert.equal(fault(`${message}\r\n\r\n`), null);
  });
  await t.test('11 minutes before it was signed', () => {
    const signedAt = Number(/\bt=(\d+)/.exec(message)?.[1]);
    assert.equal(fault(message, signedAt - 601), 'signed in the future');
    assert.equal(fault(message, signedAt - 600), null);
  });
});
