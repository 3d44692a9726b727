/** DNS as the program needs it: answers are values, time is bounded, nothing is cached here. */
import { Resolver } from 'node:dns/promises';

/** TXT records as published, each a list of strings; `absent` for NXDOMAIN and for a name without TXT; `trouble` may pass. */
export type TxtAnswer = { records: readonly (readonly string[])[] } | { absent: string } | { trouble: string };

export type TxtLookup = (name: string) => Promise<TxtAnswer>;

export type DnsServer = Readonly<{ address: string; port: number }>;

const queryTimeout = 3000;
const queryTries = 3;
/** For a look-up in all, retries and slow servers included. */
const lookupTimeout = 15_000;

/** Look-ups at these servers, or at the system's when there are none given. */
export function txtLookup(servers: readonly DnsServer[]): TxtLookup {
  return async name => {
    // One resolver a look-up: cancelling ends all of a resolver's queries.
    const resolver = new Resolver({ timeout: queryTimeout, tries: queryTries, maxTimeout: queryTimeout });
    if (servers.length > 0) resolver.setServers(servers.map(serverText));
    const timer = setTimeout(() => resolver.cancel(), lookupTimeout);
    try {
      return { records: await resolver.resolveTxt(name) };
    } catch (error) {
      return failure(error);
    } finally {
      clearTimeout(timer);
    }
  };
}

function serverText({ address, port }: DnsServer): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function failure(error: unknown): TxtAnswer {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  switch (code) {
    case 'ENOTFOUND':
    case 'ENODATA':
    case 'EBADNAME':
      return { absent: code };
    case 'ECANCELLED':
      return { trouble: 'timeout' };
    default:
      return { trouble: code };
  }
}
