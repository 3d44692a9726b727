/**
 * What domains publish for MTA-STS: the TXT record (RFC 8461 3.1) and the policy at `https://mta-sts.<domain>` (3.2, 3.3), read by mailauth
 * in its strict mode. What breaks the RFC counts as no policy, as it says itself: a lenient reader would let a page that was not meant as
 * one, or that came with a doubtful certificate, stop mail. mailauth takes 20 MB, so it is loaded for the first domain with such a record.
 */
import { quoted } from '../message/text.ts';
import { dialFirst } from '../system/dial.ts';
import type { TxtLookup } from '../system/dns.ts';
import { messageOf } from '../system/errors.ts';
import { type AddressLookups, findAddresses } from './host-addresses.ts';
import type { Policy, PolicySource } from './mta-sts.ts';

export type PolicyLookups = AddressLookups & Readonly<{ txt: TxtLookup }>;

/** Functions of `mailauth/lib/mta-sts.js`. */
export type Reader = Pick<typeof import('mailauth/lib/mta-sts.js'), 'resolvePolicy' | 'fetchPolicy' | 'validateMx'>;

type Load = () => Promise<Reader>;

const loadMailauth: Load = () => import('mailauth/lib/mta-sts.js');

const policyPort = 443;
/** Milliseconds. With 15 s for the address look-up no more than the minute that RFC 8461 3.3 suggests. */
const dialTimeout = 10_000;
const requestTimeout = 30_000;
/**
 * RFC 8461 3.3 suggests 64 KiB, real ones have some hundred octets. mailauth takes quadratic time for blanks, of 64 KiB 1.5 s in which
 * nothing else runs, of 8 KiB 25 ms; and thousands of policies are remembered.
 */
const maxPolicyOctets = 8192;
/** The same time for a record, which may have 64 KiB too. */
const maxRecordOctets = 1024;
const maxCauseOctets = 200;

/** The policies that these look-ups lead to. */
export function publishedPolicies(lookups: PolicyLookups, load: Load = loadMailauth): PolicySource {
  return {
    currentId: domain => currentId(domain, lookups.txt, load),
    fetch: domain => fetchPolicy(domain, lookups, load),
  };
}

async function currentId(domain: string, txt: TxtLookup, load: Load): Promise<{ id: string } | { none: string }> {
  const name = `_mta-sts.${domain}`;
  const none = (cause: string) => ({ none: `TXT of ${name}: ${quoted(cause, maxCauseOctets)}` });
  const answer = await txt(name);
  if ('absent' in answer) return none(answer.absent);
  if ('trouble' in answer) return none(answer.trouble);
  const records = answer.records
    .map(strings => strings.join(''))
    .filter(record => record.startsWith('v=STSv1') && record.length <= maxRecordOctets);
  if (records.length === 0) return none('no such record');
  try {
    const { resolvePolicy } = await load();
    const id = await resolvePolicy(domain, { strict: true, resolver: async () => records.map(record => [record]) });
    return id === false ? none('malformed') : { id };
  } catch (error) {
    return none(messageOf(error));
  }
}

async function fetchPolicy(
  domain: string,
  addresses: AddressLookups,
  load: Load,
): Promise<Policy | { trouble: string }> {
  try {
    const mailauth = await load();
    const policy = await mailauth.fetchPolicy(domain, {
      strict: true,
      timeout: requestTimeout,
      maxPolicySize: maxPolicyOctets,
      resolver: async host => [await reachableAddress(host, addresses)],
    });
    if (policy === false) throw new Error('no address');
    const { mode, maxAge = 0, mx = [] } = policy;
    // In one string, because each of them would keep the octets of the whole policy.
    const patterns = mx.join(' ');
    return { mode, maxAge, lists: host => mailauth.validateMx(host, { mode, mx: patterns.split(' ') }).valid };
  } catch (error) {
    return { trouble: quoted(messageOf(error), maxCauseOctets) };
  }
}

/** mailauth would try one address only. */
async function reachableAddress(host: string, lookups: AddressLookups): Promise<string> {
  const found = await findAddresses(host, lookups);
  if (!('addresses' in found)) throw new Error('none' in found ? found.none : found.trouble);
  const { signal } = new AbortController();
  const dialled = await dialFirst(found.addresses, policyPort, { timeout: dialTimeout, signal });
  if (dialled !== null && 'socket' in dialled) {
    dialled.socket.destroy();
    return dialled.address;
  }
  const [first] = dialled?.failed ?? [];
  throw new Error(`${host}[${first?.address}]: ${first?.cause}`);
}
