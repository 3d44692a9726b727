/** The IP addresses of a mail host. */
import { isIP } from 'node:net';
import type { Answer, Lookup } from '../system/dns.ts';

/**
 * `none`: the name or its addresses do not exist, a failure of this host only. `trouble`: DNS did not answer, which may pass. Both say
 * why, in ASCII.
 */
export type HostAddresses = Readonly<{ addresses: readonly string[] } | { none: string } | { trouble: string }>;

export type AddressLookups = Readonly<{ a: Lookup<string>; aaaa: Lookup<string> }>;

const maxAddresses = 8;
/** Milliseconds that addresses of one family wait for those of the other: some name servers never answer one of the questions. */
const patience = 500;

/** At least one and at most 8 addresses of a host of a `Route`, IPv6 and IPv4 by turns. Never rejects. */
export async function findAddresses(host: string, { a, aaaa }: AddressLookups): Promise<HostAddresses> {
  if (isUnspecified(host)) return { none: `${host} is no address of a host` };
  if (isIP(host) !== 0) return { addresses: [host] };
  const [six, four] = await bothOrEnough(aaaa(host), a(host));
  const addresses = byTurns(addressesOf(six), addressesOf(four));
  if (addresses.length > 0) return { addresses: addresses.slice(0, maxAddresses) };
  const trouble = troubleOf(four) ?? troubleOf(six);
  if (trouble !== null) return { trouble: `address look-up of ${host} failed: ${trouble}` };
  return { none: `no address of ${host}` };
}

type Addresses = Answer<string>;
const tooLate: Addresses = { trouble: 'timeout' };

/** Both answers, the slower one as `tooLate` when the faster one has addresses and its patience is at an end. */
function bothOrEnough(six: Promise<Addresses>, four: Promise<Addresses>): Promise<[Addresses, Addresses]> {
  return new Promise(resolve => {
    const answers: [Addresses, Addresses] = [tooLate, tooLate];
    let open = answers.length;
    let timer: NodeJS.Timeout | undefined;
    const take = (index: 0 | 1) => (answer: Addresses) => {
      answers[index] = answer;
      open--;
      if (open === 0) {
        clearTimeout(timer);
        resolve(answers);
      } else if ('records' in answer) timer = setTimeout(() => resolve([...answers]), patience);
    };
    void six.then(take(0));
    void four.then(take(1));
  });
}

function addressesOf(answer: Addresses): readonly string[] {
  return 'records' in answer ? [...new Set(answer.records.filter(address => !isUnspecified(address)))] : [];
}

/** To a socket it means this host. */
function isUnspecified(address: string): boolean {
  return /^[0:.]+$/.test(address);
}

function troubleOf(answer: Addresses): string | null {
  return 'trouble' in answer ? answer.trouble : null;
}

/** One of each in turn, as long as there are any. */
function byTurns(six: readonly string[], four: readonly string[]): readonly string[] {
  const turns = Array.from({ length: Math.max(six.length, four.length) }, (_, turn) => [six[turn], four[turn]]);
  return turns.flat().filter(address => address !== undefined);
}
