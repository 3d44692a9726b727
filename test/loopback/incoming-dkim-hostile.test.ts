// Signatures and keys made to hurt, over both real sockets: the reply of each, and the reason in the log. What the verifier makes of them in
// detail is told in test/check/dkim.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { modulus, rsaSpki } from '../check/dkim/der.ts';
import { signedMessage } from '../check/dkim/signer.ts';
import { rsa } from '../check/dkim/test-keys.ts';
import { entrances } from './entrances.ts';
import { Gate, noValidSignature, passed } from './incoming-gate.ts';
import { letter } from './incoming-mail.ts';

const from = 'a@example.org';
const headerTooLarge = '552 5.3.4 Message header too large';
const der = (bits: number, exponent = 65_537n) => rsaSpki(bits < 40 ? 1n : modulus(bits), exponent).toString('base64');
const blanks = (length: number) => `\r\n${' '.repeat(900)}`.repeat(Math.floor(length / 902));
const change = (pattern: RegExp, text: string) => signedMessage().replace(pattern, text);
const flood = (count: number) =>
  `DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s1; h=from; bh=${'A'.repeat(43)}=; b=AAAA\r\n`.repeat(count);

const signatures: [name: string, message: () => string, reply: string, reason: RegExp | null][] = [
  ['nothing odd', () => signedMessage(), passed, null],
  ['10,000 names in h=', () => signedMessage({ tags: { h: `from:to${':x'.repeat(10_000)}` } }), passed, null],
  ['250 KiB of blanks in a fold', () => change(/ v=1/, `${blanks(250 * 1024)} v=1`), passed, null],
  ['10,000 signatures', () => flood(10_000) + signedMessage(), headerTooLarge, /header over/],
  ['990 signatures that fit nothing', () => flood(990) + signedMessage(), noValidSignature, /981 more .* not tried/],
  ['a tag twice', () => change(/ d=example\.org;/, ' d=example.org; d=example.org;'), noValidSignature, /readable d=/],
  ['bh= too short', () => signedMessage({ tags: { bh: 'AAAA' } }), noValidSignature, /malformed bh=/],
  ['bh= too long', () => signedMessage({ tags: { bh: 'A'.repeat(44) } }), noValidSignature, /malformed bh=/],
  ['b= too short', () => signedMessage({ tags: { b: 'AAAA' } }), noValidSignature, /signature does not match/],
  ['b= too long', () => signedMessage({ tags: { b: 'A'.repeat(40_000) } }), noValidSignature, /does not match/],
  ['b= empty', () => signedMessage({ tags: { b: '' } }), noValidSignature, /malformed b=/],
  ['b= that is no base64', () => signedMessage({ tags: { b: '*!' } }), noValidSignature, /malformed b=/],
  ['a huge l=', () => signedMessage({ tags: { l: '9'.repeat(76) } }), noValidSignature, /l= is not the length/],
  ['an l= with a digit more', () => signedMessage({ tags: { l: '9'.repeat(77) } }), noValidSignature, /malformed l=/],
];

const keys: [name: string, record: string, reason: RegExp][] = [
  ...[1, 8, 512, 1023, 8193, 20_000].map(
    bits => [`RSA of ${bits} bits`, `p=${der(bits)}`, /RSA key size|malformed key/] as [string, string, RegExp],
  ),
  ['exponent 1', `p=${der(1024, 1n)}`, /RSA exponent 1/],
  ['exponent 3, another key', `p=${der(1024, 3n)}`, /signature does not match/],
  ['an exponent of 1000 bits', `p=${der(1024, modulus(1000))}`, /RSA exponent over 64 bits/],
  ...[0, 31, 33, 64].map(
    length =>
      [
        `ed25519 of ${length} octets`,
        `k=ed25519; p=${Buffer.alloc(length, 1).toString('base64')}`,
        /malformed key|revoked/,
      ] as [string, string, RegExp],
  ),
  ['base64 junk', 'p=####', /malformed key/],
  ['revoked', 'v=DKIM1; p=', /revoked/],
];

let gate: Gate;
before(async () => {
  gate = await Gate.open([]);
  gate.dns.txt('s1._domainkey.example.org', [rsa.record]);
  for (const [index, [, record]] of keys.entries()) gate.dns.txt(`k${index}._domainkey.example.org`, [record]);
});

async function hears(message: string, reply: string, reason: RegExp | null): Promise<void> {
  for (const entrance of entrances) {
    const mark = gate.filter.log.mark;
    assert.equal(
      await entrance.send(gate.site, letter(message, { from, to: ['free@one.test'] })),
      reply,
      entrance.name,
    );
    if (reason !== null) await gate.filter.log.find(reason, mark);
  }
}

describe('signatures', () => {
  for (const [name, message, reply, reason] of signatures) test(name, () => hears(message(), reply, reason));
});

describe('keys', () => {
  for (const [index, [name, , reason]] of keys.entries())
    test(name, () => hears(signedMessage({ tags: { s: `k${index}` } }), noValidSignature, reason));
});
