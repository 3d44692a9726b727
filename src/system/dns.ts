/** DNS as the program needs it: answers are values, time is bounded, nothing is cached here. */
import { Resolver } from 'node:dns/promises';
import { domainToASCII, domainToUnicode } from 'node:url';
import { isAscii, isUtf8 } from '../message/text.ts';
import { codeOf } from './errors.ts';

/** TXT records as published, each a list of strings; `absent` for NXDOMAIN and for a name without TXT; `trouble` may pass. */
export type TxtAnswer = { records: readonly (readonly string[])[] } | { absent: string } | { trouble: string };

/** `name` is an octet string; U-labels (RFC 8616) in UTF-8. Never rejects. */
export type TxtLookup = (name: string) => Promise<TxtAnswer>;

export type DnsServer = Readonly<{ address: string; port: number }>;

const queryTimeout = 3000;
const queryTries = 3;
/** For a look-up in all, retries and slow servers included. */
const lookupTimeout = 15_000;
/** Longer ones do not fit into a query (RFC 1035 2.3.4). */
const maxNameOctets = 253;

/** Look-ups at these servers, or at the system's when there are none given. */
export function txtLookup(servers: readonly DnsServer[]): TxtLookup {
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
      return await askInTurn(resolver, given.length > 0 ? given : resolver.getServers(), name);
    } finally {
      clearTimeout(timer);
    }
  };
}

/** Node goes on to the next server after silence, but not after a server failure. */
async function askInTurn(resolver: Resolver, servers: readonly string[], name: string): Promise<TxtAnswer> {
  for (let first = 0; ; first++) {
    const rest = servers.slice(first);
    resolver.setServers(rest);
    try {
      const records = await resolver.resolveTxt(name);
      return records.length > 0 ? { records } : { absent: 'ENODATA' };
    } catch (error) {
      const code = codeOf(error) ?? String(error);
      if (rest.length > 1 && (code === 'ESERVFAIL' || code === 'EREFUSED')) continue;
      return failure(code);
    }
  }
}

function failure(code: string): TxtAnswer {
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
 * The name to ask for, null where there can be none. Node would map what is no ASCII as if it were Latin-1: another name, which somebody
 * else may own.
 */
function queryName(octets: string): string | null {
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
