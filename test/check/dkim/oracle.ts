/** mailauth's verifier in its strict mode, its signer, and its two canonicalizations: another reading of RFC 6376. */
import { createRequire } from 'node:module';
import { dkimSign } from 'mailauth/lib/dkim/sign.js';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import type { Zone } from './verify.ts';

type ParsedHeader = Readonly<{ parsed: readonly unknown[] }>;
type BodyHash = { update(octets: Buffer): void; digest(encoding: 'base64'): string; canonicalizedLength: number };

// These modules have no types of their own.
const load = createRequire(import.meta.url);
const { parseHeaders, getSigningHeaderLines } = load('mailauth/lib/tools.js') as {
  parseHeaders(octets: Buffer): ParsedHeader;
  getSigningHeaderLines(header: readonly unknown[], names: string, verify: boolean): unknown;
};
const { generateCanonicalizedHeader } = load('mailauth/lib/dkim/header/index.js') as {
  generateCanonicalizedHeader(type: 'DKIM', lines: unknown, options: unknown): { canonicalizedHeader: Buffer };
};
const { dkimBody } = load('mailauth/lib/dkim/body/index.js') as {
  dkimBody(form: string, hash: string, length?: number): BodyHash;
};

export type Opinion = Readonly<{
  passes: boolean;
  /** mailauth's words, for messages. */
  reason: string;
  /** How long the canonical body is. */
  octets: number | undefined;
}>;

/** What mailauth says of each DKIM-Signature field, in the order of the header. Of several records it takes the first. */
export async function opinions(message: string, zone: Zone, now: number, strict = true): Promise<Opinion[]> {
  const resolver = async (name: string) => {
    // The signer's selectors and domains are looked up in lower case, as DNS compares them.
    const records = zone[name.toLowerCase()];
    if (records === undefined) throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
    return records.map(strings => [...strings]);
  };
  const { results } = await dkimVerify(Buffer.from(message, 'latin1'), {
    resolver,
    strict,
    curTime: new Date(now * 1000),
  });
  return results
    .filter(({ status }) => status.result !== 'none')
    .map(({ status, canonBodyLengthTotal }) => ({
      passes: status.result === 'pass',
      reason: `${status.result}: ${status.comment}`,
      octets: canonBodyLengthTotal,
    }));
}

/** DKIM-Signature fields as mailauth writes them, each with its CRLF. */
export async function signedByMailauth(message: string, options: Parameters<typeof dkimSign>[1]): Promise<string> {
  const { signatures, errors } = await dkimSign(Buffer.from(message, 'latin1'), {
    ...options,
    signatureData: [{ ...options }],
  });
  if (errors.length > 0) throw errors[0]?.err ?? new Error('not signed');
  return signatures;
}

/** The base64 hash of the first `length` octets of the canonical body (of all of it: null), and how many octets it has. */
export function bodyHash(body: string, form: string, length: number | null = null): { hash: string; octets: number } {
  const whole = hashOf(body, form);
  return length === null ? whole : { ...whole, hash: hashOf(body, form, length).hash };
}

function hashOf(body: string, form: string, length?: number): { hash: string; octets: number } {
  const hash = dkimBody(form, 'sha256', length);
  hash.update(Buffer.from(body, 'latin1'));
  return { hash: hash.digest('base64'), octets: hash.canonicalizedLength };
}

/** What a signature field in this header signs: the fields that h= names, and itself with an empty b=. */
export function signedText(header: string, field: string, names: string, form: string): Buffer {
  const { parsed } = parseHeaders(Buffer.from(header, 'latin1'));
  return generateCanonicalizedHeader('DKIM', getSigningHeaderLines(parsed, names, true), {
    signatureHeaderLine: Buffer.from(field, 'latin1'),
    canonicalization: form,
    strict: true,
  }).canonicalizedHeader;
}
