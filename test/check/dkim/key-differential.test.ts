// Generated key records: what mailauth passes in its strict mode we pass, what we pass it passes at least in its lenient mode.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { blanks, mostly, oddCase, oneOf, type Text } from './odd-text.ts';
import { opinions } from './oracle.ts';
import { domain, now, signedMessage } from './signer.ts';
import { ed25519, rsa } from './test-keys.ts';
import { verdicts } from './verify.ts';

const fold = (text: string): Text =>
  fc
    .tuple(fc.integer({ min: 1, max: 90 }), blanks)
    .map(([width, blank]) => text.replace(new RegExp(`.{${width}}`, 'g'), piece => piece + blank));

const mostlyWith = (usual: Text, ...odd: string[]): Text => mostly(usual, oneOf('', ...odd));

const tagsFor = (type: 'rsa' | 'ed25519', key: string): fc.Arbitrary<string[]> => {
  const named = (name: string, value: Text): Text =>
    fc.tuple(blanks, blanks, value, blanks).map(([one, two, text, three]) => `${one}${name}${two}=${text}${three}`);
  const version = fc
    .tuple(blanks, mostlyWith(oneOf('DKIM1'), 'DKIM2', 'dkim1'))
    .map(([blank, value]) => `v=${blank}${value}`);
  const kind = named('k', mostlyWith(type === 'rsa' ? oddCase('rsa') : oneOf('ed25519'), 'rsa', 'ed25519', 'dsa'));
  const rest: Text[] = [
    named('h', mostlyWith(oneOf('sha256', 'sha1:sha256', 'SHA256'), 'sha1', ':', 'sha2')),
    named('s', mostlyWith(oneOf('*', 'email', 'x:email', 'Email : *'), 'tlsrpt', 'x')),
    named('t', oneOf('', 'y', 's', 's:y', 'y : s', 'x')),
    named('n', oneOf('notes', 'b=1', 'p=')),
    named('K', oneOf('dsa')),
    named('P', oneOf('')),
  ];
  const p = named('p', mostlyWith(fold(key), 'AAAA', `${key}!`, `*${key}`));
  const kindWhereNeeded = type === 'rsa' ? fc.option(kind) : mostly(kind, oneOf('')).map(text => text || null);
  return fc
    .tuple(
      fc.option(version),
      kindWhereNeeded,
      p,
      fc.shuffledSubarray(rest).chain(list => fc.tuple(...list)),
    )
    .chain(([v, k, keyTag, others]) => {
      const list = [v, k, keyTag, ...others].filter(tag => tag !== null);
      const disordered = fc.shuffledSubarray(list, { minLength: list.length - 1 });
      return fc.oneof({ weight: 14, arbitrary: fc.constant(list) }, { weight: 1, arbitrary: disordered });
    });
};

const keys = [rsa, ed25519].map(key => ({
  key,
  published: key.record.replace(/.*p=/, ''),
  messages: [`@${domain}`, `@sub.${domain}`].map(i => signedMessage({ key, tags: { i } })),
}));

const records = fc
  .constantFrom(...keys)
  .chain(({ key, published, messages }) =>
    fc
      .tuple(
        tagsFor(key.name, published),
        mostlyWith(oneOf(';', '; '), ';;', '; x'),
        fc.constantFrom(...messages),
        fc.integer({ min: 1, max: 255 }),
      )
      .map(([tags, end, message, length]) => ({ record: tags.join(';') + end, message, length })),
  );

/** In its lenient mode it reads names of tags in any case, and the last of them counts. */
const confused = /(?:^|;)\s*[KP]\s*=/;

/** It takes no value for `rsa`, which is the value of a missing tag (RFC 6376 3.6.1). */
const emptyKind = /(?:^|;)\s*k\s*=\s*(?:;|$)/;

test('key records of every form', async () => {
  let passed = 0;
  const runs = 1000;
  await fc.assert(
    fc.asyncProperty(records, async ({ record, message, length }) => {
      const strings = record.match(new RegExp(`[\\s\\S]{1,${length}}`, 'g')) ?? [''];
      const zone = { [`s1._domainkey.${domain}`]: [strings] };
      const [verdict = ''] = verdicts(message, { zone, now, domain });
      const [strict] = await opinions(message, zone, now);
      const [lenient] = await opinions(message, zone, now, false);
      if (strict?.passes && !emptyKind.test(record)) assert.equal(verdict, 'pass');
      if (verdict === 'pass') {
        passed++;
        if (!confused.test(record)) assert.equal(lenient?.passes, true, lenient?.reason ?? '');
      }
    }),
    { numRuns: runs },
  );
  assert.ok(passed > runs / 3 && passed < runs * 0.9, `${passed} of ${runs}`);
});
