// Messages that real relays signed, under the keys they published: every one verifies, and none does once it is changed.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { digestsFor, dkimCandidates } from '../../../src/check/dkim/candidates.ts';
import { readKeyRecords } from '../../../src/check/dkim/key-record.ts';
import { checkClaims, checkSignature } from '../../../src/check/dkim/verify.ts';
import { BodyDigester } from '../../../src/message/body-digest.ts';
import { authorOf } from '../../../src/message/from.ts';
import { parseHeader } from '../../../src/message/header.ts';

const directory = new URL('../../messages/deltachat/', import.meta.url);
const records: Record<string, string[]> = JSON.parse(readFileSync(new URL('dns.json', directory), 'utf8'));
const names = readdirSync(directory).filter(name => /-incoming-.*\.eml$/.test(name));

/** Why the message does not verify at that time (seconds since 1970; null: when it was signed); null when it does. */
function fault(message: string, at: number | null = null): string | null {
  const end = message.indexOf('\r\n\r\n') + 2;
  const header = parseHeader(message.slice(0, end));
  assert.ok(Array.isArray(header));
  const domain = authorOf(header)?.split('@')[1] ?? '';
  const candidates = dkimCandidates(header, domain);
  const [signature] = candidates.usable;
  if (signature === undefined) return candidates.faulty[0] ?? 'no candidate';
  assert.deepEqual(digestsFor(candidates), [signature.bodyCanonicalization]);
  const digester = new BodyDigester(signature.bodyCanonicalization);
  const body = message.slice(end + 2);
  for (let from = 0; from < body.length; from += 777) digester.feed(body.slice(from, from + 777));
  const key = readKeyRecords([records[`${signature.selector}._domainkey.${signature.domain}`] ?? []]);
  if (typeof key === 'string') return key;
  const now = at ?? signature.signedAt ?? 0;
  return checkClaims(signature, digester.end(), now) ?? checkSignature(signature, header, key);
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
