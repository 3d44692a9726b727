/** Judges one DKIM signature (RFC 6376 6.1) on evidence: the header, the hash of the body, the key, the time. */
import { createHash, verify } from 'node:crypto';
import type { BodyDigest } from '../../message/body-digest.ts';
import type { Header } from '../../message/header.ts';
import { canonicalField } from './canonical.ts';
import type { DkimKey } from './key-record.ts';
import type { Signature } from './signature.ts';

export type VerificationFault =
  | 'expired'
  | 'signed in the future'
  | 'l= is not the length of the body'
  | 'body hash does not match'
  | 'key type does not match a='
  | 'key does not allow sha256'
  | 'i= is not d=, which the key demands'
  | 'a field stands more often than it is signed'
  | 'signature does not match';

/** Clocks differ (RFC 6376 3.5, x= and t=). Seconds. */
const expiryGrace = 300;
const futureGrace = 600;

/**
 * Fields of which a message has one, and which decide what its reader sees or whom the answer goes to. Anybody could put a second one above
 * that which was signed (RFC 6376 8.15).
 */
const singleFields: ReadonlySet<string> = new Set([
  'sender',
  'reply-to',
  'to',
  'cc',
  'subject',
  'date',
  'content-type',
  'content-transfer-encoding',
  'autocrypt',
  'secure-join',
]);

/** Whether what needs no key is in order; `now` in seconds since 1970. */
export function checkClaims(signature: Signature, body: BodyDigest, now: number): VerificationFault | null {
  const { signedAt, expiresAt, bodyLength, bodyHash } = signature;
  if (expiresAt !== null && expiresAt + expiryGrace < now) return 'expired';
  if (signedAt !== null && signedAt - futureGrace > now) return 'signed in the future';
  if (bodyLength !== null && bodyLength !== body.octets) return 'l= is not the length of the body';
  return body.hash.equals(bodyHash) ? null : 'body hash does not match';
}

/** Whether the key signed this header. */
export function checkSignature(signature: Signature, header: Header, key: DkimKey): VerificationFault | null {
  if (!signature.algorithm.startsWith(key.type)) return 'key type does not match a=';
  if (!key.allowsSha256) return 'key does not allow sha256';
  if (hasUnsignedTwin(signature, header)) return 'a field stands more often than it is signed';
  if (key.strict && signature.identityDomain !== signature.domain) return 'i= is not d=, which the key demands';
  const signed = Buffer.from(signedText(signature, header), 'latin1');
  const matches =
    key.type === 'rsa'
      ? verify('sha256', signed, key.key, signature.signature)
      : verify(null, createHash('sha256').update(signed).digest(), key.key, signature.signature);
  return matches ? null : 'signature does not match';
}

function hasUnsignedTwin({ signedFields }: Signature, header: Header): boolean {
  const counts = new Map<string, number>();
  for (const { name } of header) if (singleFields.has(name)) counts.set(name, (counts.get(name) ?? 0) + 1);
  for (const name of signedFields) {
    const count = counts.get(name);
    if (count !== undefined) counts.set(name, count - 1);
  }
  return signedFields.some(name => (counts.get(name) ?? 0) > 0);
}

/**
 * What was signed: the fields that h= names, of repeated ones the last first and missing ones as nothing (RFC 6376 5.4.2), then the
 * signature's own field with an empty b=.
 */
function signedText({ field, signedFields, headerCanonicalization, signatureSpan }: Signature, header: Header): string {
  const unused = new Map<string, string[]>();
  for (const { name, raw } of header) {
    const raws = unused.get(name);
    if (raws === undefined) unused.set(name, [raw]);
    else raws.push(raw);
  }
  let text = '';
  for (const name of signedFields) {
    const raw = unused.get(name)?.pop();
    if (raw !== undefined) text += `${canonicalField(raw, headerCanonicalization)}\r\n`;
  }
  const own = field.raw.slice(0, signatureSpan.start) + field.raw.slice(signatureSpan.end);
  return text + canonicalField(own, headerCanonicalization);
}
