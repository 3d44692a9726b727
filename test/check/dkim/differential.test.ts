/**
 * Our verdicts against those of mailauth in its strict mode, on generated messages. A failure prints the seed and the path that repeat
 * it; `FUZZ_SEED=random` and more `numRuns` look elsewhere.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { agreed, bothKeys, hasTwin } from './agreement.ts';
import { changes } from './mutations.ts';
import { orders } from './odd-signatures.ts';
import { oddBody, oddHeader, signableNames } from './odd-text.ts';
import { bodyHash, signedByMailauth } from './oracle.ts';
import { domain, now, signatureField } from './signer.ts';
import { ed25519, rsa } from './test-keys.ts';
import { digest, verdicts } from './verify.ts';

const addedField = 'a field stands more often than it is signed';
const hasBareLineEnd = (message: string) => /\r(?!\n)|(?<!\r)\n/.test(message);

type Mail = Readonly<{ header: string; body: string }>;

const unsigned = fc.record({ header: oddHeader(domain), body: oddBody });

const signedOnceMore = ({ header, body }: Mail): fc.Arbitrary<Mail> =>
  orders(header, body).map(order => ({ header: signatureField(order) + header, body }));

const once = unsigned.chain(signedOnceMore);
const signed = fc.oneof(once, once.chain(signedOnceMore), once.chain(signedOnceMore).chain(signedOnceMore));

const whole = ({ header, body }: Mail) => `${header}\r\n${body}`;

test('signatures of every form', async () => {
  let passed = 0;
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(signed, async mail => {
      for (const verdict of await agreed(whole(mail))) verdict === 'pass' ? passed++ : refused++;
    }),
    { numRuns: 1500 },
  );
  // Otherwise most of them would never have come to the signature itself.
  assert.ok(passed > refused / 2 && refused > passed / 4, `${passed} passed, ${refused} refused`);
});

test('changed messages', async () => {
  await fc.assert(
    fc.asyncProperty(signed, changes, async (mail, change) => {
      const changed = change(whole(mail));
      if (!hasBareLineEnd(changed)) await agreed(changed);
    }),
    { numRuns: 1500 },
  );
});

const signerOptions = fc.record({
  canonicalization: fc.constantFrom('simple/simple', 'simple/relaxed', 'relaxed/simple', 'relaxed/relaxed'),
  key: fc.constantFrom(rsa, ed25519),
  headerList: fc.subarray(signableNames).map(names => ['from', ...names]),
  limited: fc.boolean(),
  identity: fc.constantFrom(undefined, `@${domain}`, `a@sub.${domain}`),
  left: fc.constantFrom(null, 1, 3600),
});

test("messages that mailauth's signer signed pass, and changed ones where it says so", async () => {
  await fc.assert(
    fc.asyncProperty(
      unsigned,
      signerOptions,
      changes,
      async (mail, { canonicalization, key, headerList, limited, identity, left }, change) => {
        const { octets } = bodyHash(mail.body, canonicalization.split('/')[1] ?? '');
        const field = await signedByMailauth(whole(mail), {
          signingDomain: domain,
          selector: key.name === 'rsa' ? 's1' : 's2',
          privateKey: key.privateKey.export({ format: 'pem', type: 'pkcs8' }),
          canonicalization,
          headerList,
          signTime: new Date(now * 1000),
          ...(limited ? { maxBodyLength: octets } : {}),
          ...(identity === undefined ? {} : { identity }),
          ...(left === null ? {} : { expires: new Date((now + left) * 1000) }),
        });
        const message = field + whole(mail);
        const twin = hasTwin(message, /\bh=([^;]*)/.exec(field)?.[1] ?? '');
        assert.deepEqual(verdicts(message, { zone: bothKeys, now, domain }), [twin ? addedField : 'pass']);
        const changed = change(message);
        if (!hasBareLineEnd(changed)) await agreed(changed);
      },
    ),
    { numRuns: 800 },
  );
});

test('hashes of bodies, in any pieces', () => {
  fc.assert(
    fc.property(
      oddBody,
      oddBody,
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }),
      (one, other, pieces) => {
        for (const form of ['simple', 'relaxed'] as const) {
          const { hash, octets } = digest(one + other, form, pieces);
          assert.deepEqual({ hash: hash.toString('base64'), octets }, bodyHash(one + other, form));
        }
      },
    ),
    { numRuns: 5000 },
  );
});
