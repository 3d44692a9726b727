/**
 * DNS answers kept for their TTL. Negative answers and failures are not kept: a domain that was repaired is reached with the next message.
 * Simultaneous look-ups of a name are one, which therefore nobody can cancel; who does not want to wait for it any more stops waiting.
 */
import { foldCase } from '../message/address.ts';
import type { Clock } from './clock.ts';
import { type Answer, addressLookup, type DnsServer, type Found, type Lookup, type Mx, mxLookup } from './dns.ts';
import { LruMap } from './lru-map.ts';

/** What it takes to find the hosts of a domain. */
export type MailDns = Readonly<{ mx: Lookup<Mx>; a: Lookup<string>; aaaa: Lookup<string> }>;

/** Names of a type that are remembered. */
const maxNames = 10_000;
/** Seconds, where the TTL is not known. */
const unknownTtl = 300;
/** Seconds; a longer TTL is a mistake more often than not, and resolvers cut it here too. */
const maxTtl = 86_400;

/** Cached look-ups at these servers, or at the system's when there are none given. */
export function mailDns(servers: readonly DnsServer[], clock: Clock): MailDns {
  return {
    mx: cached(mxLookup(servers), clock),
    a: cached(addressLookup(servers, 'A'), clock),
    aaaa: cached(addressLookup(servers, 'AAAA'), clock),
  };
}

/** `lookup` with a cache for at most `limit` names. */
export function cached<Content>(lookup: Lookup<Content>, clock: Clock, limit = maxNames): Lookup<Content> {
  const kept = new LruMap<string, { found: Found<Content>; until: number }>(limit);
  const underWay = new Map<string, Promise<Answer<Content>>>();

  const ask = async (key: string): Promise<Answer<Content>> => {
    try {
      const answer = await lookup(key);
      const seconds = 'ttl' in answer ? Math.min(answer.ttl ?? unknownTtl, maxTtl) : 0;
      if ('ttl' in answer && seconds > 0) kept.set(key, { found: answer, until: clock() + 1000 * seconds });
      return answer;
    } finally {
      underWay.delete(key);
    }
  };

  return name => {
    const key = foldCase(name).replace(/\.$/, '');
    const entry = kept.get(key);
    if (entry !== undefined && clock() < entry.until) return Promise.resolve(entry.found);
    kept.delete(key);
    return underWay.getOrInsertComputed(key, ask);
  };
}
