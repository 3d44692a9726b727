/**
 * Where the mail for a domain goes (RFC 5321 5.1): the hosts in the order in which to try them, and what a connection to them must be like.
 * Hosts are names in A-labels, lower case, or IP addresses. What a domain publishes is bounded here: 10 hosts at most, no host twice,
 * nothing that is no host name, never the MX of an MX.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { isUtf8, quoted } from '../message/text.ts';
import { type Lookup, type Mx, queryName } from '../system/dns.ts';
import { type Reply, reply } from '../wire/reply.ts';

export type Route = Readonly<{
  /** The domain in A-labels, lower case; null for an address literal. */
  name: string | null;
  /** At least one. */
  hosts: readonly string[];
  /** TLS with any certificate, for domains that cannot have one of a known authority. */
  anyCertificate: boolean;
  /** SMTP without TLS, where the host does not offer it. */
  plainAllowed: boolean;
}>;

export type NoRoute = Readonly<{
  reply: Reply;
  /** For the log, one line of ASCII. */
  cause: string;
  /** DNS gave no answer, which may pass: the destination is dead. */
  dead: boolean;
}>;

export type RouteOptions = Readonly<{
  mx: Lookup<Mx>;
  /** Less than 1, at least 0. */
  random: () => number;
  /** Host names that are us, lower case: mail goes only to hosts that are preferred to us (RFC 5321 5.1). */
  ourNames: readonly string[];
}>;

const maxHosts = 10;
/** Providers that offer no TLS. */
const plainDomains: readonly string[] = ['nauta.cu'];

/** The route to `domain`, an octet string in any case: a name (U-labels in UTF-8) or an address literal (RFC 5321 4.1.3). Never rejects. */
export async function findRoute(domain: string, options: RouteOptions): Promise<Route | NoRoute> {
  if (domain.startsWith('[')) return literalRoute(domain);
  const name = hostName(folded(domain));
  if (name === null) return unroutable(550, '1.2', `${quoted(domain)} cannot be a domain`);
  const answer = await options.mx(name);
  if ('trouble' in answer) {
    const cause = `MX look-up of ${name} failed: ${answer.trouble}`;
    return { ...unroutable(451, '4.3', cause), dead: true };
  }
  if ('absent' in answer) return answer.absent === 'ENODATA' ? routeOver([name], name) : noSuchDomain(name);
  if (answer.records.every(({ exchange }) => exchange === ''))
    return unroutable(556, '1.10', `${name} takes no mail (null MX)`);
  const records = usableHosts(answer.records, options.random);
  if (records.length === 0) return unroutable(550, '4.4', `no MX of ${name} is a host name`);
  const us = records.find(({ exchange }) => options.ourNames.includes(exchange));
  const hosts = records.filter(({ preference }) => us === undefined || preference < us.preference);
  if (hosts.length === 0) return unroutable(550, '4.6', `the best MX of ${name} is this host`);
  return routeOver(
    hosts.slice(0, maxHosts).map(({ exchange }) => exchange),
    name,
  );
}

/** The IP address in an address literal, null for any other text. */
export function literalAddress(domain: string): string | null {
  const [, six, four] = /^\[(?:IPv6:([\d:.a-f]+)|([\d.]+))\]$/i.exec(domain) ?? [];
  if (six !== undefined) return isIPv6(six) ? six.toLowerCase() : null;
  return four !== undefined && isIPv4(four) ? four : null;
}

function literalRoute(domain: string): Route | NoRoute {
  const address = literalAddress(domain);
  if (address === null) return unroutable(550, '1.2', `${quoted(domain)} is no address literal`);
  return { name: null, hosts: [address], anyCertificate: true, plainAllowed: false };
}

function routeOver(hosts: readonly string[], name: string): Route {
  return { name, hosts, anyCertificate: name.startsWith('_'), plainAllowed: plainDomains.includes(name) };
}

/** By preference, equal ones in any order, each host once. */
function usableHosts(records: readonly Mx[], random: () => number): readonly Mx[] {
  const known = new Set<string>();
  return records
    .map(({ preference, exchange }) => ({ preference, exchange: hostName(exchange.toLowerCase()), place: random() }))
    .sort((one, other) => one.preference - other.preference || one.place - other.place)
    .flatMap(({ preference, exchange }) => {
      if (exchange === null || known.has(exchange)) return [];
      known.add(exchange);
      return [{ preference, exchange }];
    });
}

/** What may be a host's name, without a dot at its end; null for all else, such as an IP address in text. */
function hostName(octets: string): string | null {
  const name = queryName(octets)?.replace(/\.$/, '') ?? null;
  return name === null || /(?:^|\.)\d+$/.test(name) ? null : name;
}

/** In the one spelling that A-labels have (RFC 5891 5.2). */
function folded(domain: string): string {
  if (!isUtf8(domain)) return domain;
  const text = Buffer.from(domain, 'latin1').toString('utf8').toLowerCase().normalize('NFC');
  return Buffer.from(text, 'utf8').toString('latin1');
}

function noSuchDomain(name: string): NoRoute {
  return unroutable(550, '1.2', `no such domain: ${name}`);
}

function unroutable(code: number, detail: `${number}.${number}`, cause: string): NoRoute {
  return { reply: reply(code, detail, cause), cause, dead: false };
}
