/** Who vouches for the From address of a message from elsewhere: DKIM, under keys that are fetched here and judged in check/dkim. */
import { type Candidates, dkimCandidates } from '../check/dkim/candidates.ts';
import type { KeyFault } from '../check/dkim/key-record.ts';
import type { Signature } from '../check/dkim/signature.ts';
import { checkClaims, checkSignature, type VerificationFault } from '../check/dkim/verify.ts';
import type { Header } from '../message/header.ts';
import type { Evidence } from '../message/scanner.ts';
import { quoted } from '../message/text.ts';
import type { DkimKeys } from './dkim-keys.ts';

/** No signature verified; `reasons` has one for each, for the log. */
export type UnverifiedOrigin = Readonly<{
  refused: 'No DKIM signature found' | 'No valid DKIM signature found';
  reasons: readonly string[];
}>;

export type Origin =
  | { verified: Signature }
  | UnverifiedOrigin
  /** None verified, but one might have, had DNS answered. */
  | { temporary: readonly string[] };

/** Null: it verifies. */
type Result = { fault: VerificationFault | KeyFault | 'no such name' } | { trouble: string } | null;

const maxUnalignedTold = 10;

/** `domain` is that of From, ASCII lower case; `now` in seconds since 1970. */
export async function verifyOrigin(
  { header, digests }: Evidence,
  domain: string,
  keys: DkimKeys,
  now: number,
): Promise<Origin> {
  const candidates = dkimCandidates(header, domain);
  if (candidates.fields === 0) return { refused: 'No DKIM signature found', reasons: [] };
  const checks = candidates.usable.map(async signature => {
    const digest = digests.get(signature.bodyCanonicalization);
    if (digest === undefined) throw new Error('the body was not hashed');
    const fault = checkClaims(signature, digest, now);
    const result = fault === null ? await verifyUnderKey(signature, header, keys) : { fault };
    return { signature, result };
  });
  const verified = await firstVerified(checks);
  if (verified !== null) return { verified };

  const results = await Promise.all(checks);
  const tried = results.flatMap(({ signature, result }) => (result === null ? [] : [describe(signature, result)]));
  const reasons = [...tried, ...whyUntried(candidates)];
  const isTemporary = results.some(({ result }) => result !== null && 'trouble' in result);
  return isTemporary ? { temporary: reasons } : { refused: 'No valid DKIM signature found', reasons };
}

function describe({ domain, selector }: Signature, result: NonNullable<Result>): string {
  const reason = 'fault' in result ? result.fault : `DNS: ${result.trouble}`;
  return `d=${quoted(domain)} s=${quoted(selector)}: ${reason}`;
}

function whyUntried({ faulty, untried, unreadable, unaligned }: Candidates): readonly string[] {
  const reasons = [
    ...faulty,
    ...unaligned.slice(0, maxUnalignedTold).map(other => `d=${quoted(other)}: not the From domain`),
  ];
  if (untried > 0) reasons.push(`${untried} more of the From domain were not tried`);
  if (unaligned.length > maxUnalignedTold) reasons.push(`${unaligned.length - maxUnalignedTold} more of other domains`);
  if (unreadable > 0) reasons.push(`${unreadable} without a readable d=`);
  return reasons;
}

/** One signature that verifies is enough: it does not wait for the keys of the others. */
function firstVerified(
  checks: readonly Promise<{ signature: Signature; result: Result }>[],
): Promise<Signature | null> {
  return new Promise((resolve, reject) => {
    for (const check of checks) check.then(({ signature, result }) => result === null && resolve(signature), reject);
    Promise.all(checks).then(() => resolve(null), reject);
  });
}

async function verifyUnderKey(signature: Signature, header: Header, keys: DkimKeys): Promise<Result> {
  const { selector, domain } = signature;
  const found = await keys.find(selector, domain);
  if (!('key' in found)) return found;
  const fault = checkSignature(signature, header, found.key);
  if (fault === null) return null;
  // The owner may have changed the key since it was cached.
  const fresh = found.cached ? await keys.findFresh(selector, domain, found.key) : null;
  if (fresh === null) return { fault };
  if (!('key' in fresh)) return fresh;
  const faultNow = checkSignature(signature, header, fresh.key);
  return faultNow === null ? null : { fault: faultNow };
}
