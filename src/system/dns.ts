/** DNS as the program needs it: answers are values, time is bounded, nothing is cached here. */
import { Resolver } from 'node:dns/promises';
import { domainToASCII, domainToUnicode } from 'node:url';
import { isAscii, isUtf8 } from '../message/text.ts';
import { codeOf } from './errors.ts';

/** `absent` for NXDOMAIN and for a name without such records; `trouble` may pass. Both say why. */
export type NoAnswer = { absent: string } | { trouble: string };

/** TXT records as published, each a list of strings. */
export type TxtAnswer = { records: readonly (readonly string[])[] } | NoAnswer;

/** `name` is an octet string; U-labels (RFC 8616) in UTF-8. Never rejects. */
export type TxtLookup = (name: string) => Promise<TxtAnswer>;

/** At least one record. `ttl`: seconds for which they hold, null where Node does not tell. */
export type Found<Content> = { records: readonly Content[]; ttl: number | null };
export type Answer<Content> = Found<Content> | NoAnswer;

/** `name` as for a `TxtLookup`. Never rejects. */
export type Lookup<Content> = (name: string) => Promise<Answer<Content>>;

/** `exchange` as an ASCII octet string in the form of zone files (`\DDD`), `''` for the root (RFC 7505). */
export type Mx = Readonly<{ preference: number; exchange: string }>;

export type DnsServer = Readonly<{ address: string; port: number }>;

const queryTimeout = 3000;
const queryTries = 3;
/** For a look-up in all, retries and slow servers included. */
const lookupTimeout = 15_000;
/** Longer ones do not fit into a query (RFC 1035 2.3.4). */
const maxNameOctets = 253;
/** Of one answer: a message of 64 KiB has room for 4,000, and caches are full of answers. */
const maxRecords = 20;
/** RFC 2181 8: a TTL above this counts as 0. */
const maxTtl = 2 ** 31 - 1;

/** Look-ups at these servers, or at the system's when there are none given. */
export function txtLookup(servers: readonly DnsServer[]): TxtLookup {
  return lookupAt(servers, async (resolver, name) => ({ records: await resolver.resolveTxt(name) }));
}

/** The 20 records of the lowest preference, in that order. */
export function mxLookup(servers: readonly DnsServer[]): Lookup<Mx> {
  return lookupAt(servers, async (resolver, name) => {
    const found = await resolver.resolveMx(name);
    const records = found.map(({ priority, exchange }) => ({ preference: priority, exchange }));
    records.sort((one, other) => one.preference - other.preference);
    return { records: records.slice(0, maxRecords), ttl: null };
  });
}

/** IPv4 or IPv6 addresses, the first 20. */
export function addressLookup(servers: readonly DnsServer[], type: 'A' | 'AAAA'): Lookup<string> {
  return lookupAt(servers, async (resolver, name) => {
    const found = await (type === 'A'
      ? resolver.resolve4(name, { ttl: true })
      : resolver.resolve6(name, { ttl: true }));
    const ttl = Math.min(...found.map(record => (record.ttl > maxTtl ? 0 : record.ttl)));
    return { records: found.slice(0, maxRecords).map(({ address }) => address), ttl };
  });
}

type Ask<Records> = (resolver: Resolver, name: string) => Promise<Records>;

function lookupAt<Records extends { records: readonly unknown[] }>(
  servers: readonly DnsServer[],
  ask: Ask<Records>,
): (octets: string) => Promise<Records | NoAnswer> {
  const given = servers.map(({ address, port }) =>
    address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`,
  );
  return async octets => {
    const name = queryName(octets);
    if (name === null) return { absent: 'EBADNAME' };
    // One resolver a look-up: cancelling ends all of a resolver's queries.
    const resolver = new Resolver({ timeout: queryTimeout, tries: queryTries, maxTimeout: queryTimeout });
    const timer = setTimeout(() => resolver.cancel(), lookupTimeout);
    try {
      return await askInTurn(resolver, given, () => ask(resolver, name));
    } finally {
      clearTimeout(timer);
    }
  };
}

/** Node goes on to the next server after silence, but not after a server failure. */
async function askInTurn<Records extends { records: readonly unknown[] }>(
  resolver: Resolver,
  given: readonly string[],
  ask: () => Promise<Records>,
): Promise<Records | NoAnswer> {
  const servers = given.length > 0 ? given : resolver.getServers();
  for (let first = 0; ; first++) {
    const rest = servers.slice(first);
    // Those of the system as they are: in text a link-local address has lost its scope.
    if (first > 0 || given.length > 0) resolver.setServers(rest);
    try {
      const found = await ask();
      return found.records.length > 0 ? found : { absent: 'ENODATA' };
    } catch (error) {
      const code = codeOf(error) ?? String(error);
      if (rest.length > 1 && (code === 'ESERVFAIL' || code === 'EREFUSED')) continue;
      return failure(code);
    }
  }
}

function failure(code: string): NoAnswer {
  switch (code) {
    case 'ENOTFOUND':
    case 'ENODATA':
    case 'EBADNAME':
      return { absent: code };
    case 'ETIMEOUT':
    case 'ECANCELLED':
      return { trouble: 'timeout' };
    default:
      return { trouble: code };
  }
}

/**
 * The name to ask for, in A-labels (RFC 5890 2.3.2.1), null where there can be none. Node would map what is no ASCII as if it were
 * Latin-1: another name, which somebody else may own.
 */
export function queryName(octets: string): string | null {
  const name = isAscii(octets) ? octets : toALabels(octets);
  const isName = name !== null && name.length <= maxNameOctets && /^[\w-]{1,63}(?:\.[\w-]{1,63})*\.?$/.test(name);
  return isName ? name : null;
}

function toALabels(octets: string): string | null {
  if (!isUtf8(octets)) return null;
  const unicode = Buffer.from(octets, 'latin1').toString('utf8');
  const name = domainToASCII(unicode);
  // A name that is spelled in any other way than the one that stands for its A-labels is none.
  return domainToUnicode(name) === unicode ? name : null;
}
