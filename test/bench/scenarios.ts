// The rows of the tables. A row is one size of message at one number of connections; over SMTP, and over LMTP to a single domain, every
// message has a connection of its own.

import type { Carrier } from './remotes.ts';
import type { Subject } from './subjects.ts';

export interface Scenario {
  /** What --rows takes. */
  readonly name: string;
  readonly title: string;
  /** The filter's mode. */
  readonly mode: Mode;
  /** Into the filter. */
  readonly carrier: 'SMTP' | 'HTTP' | 'LMTP';
  /** About what a message has on the wire. */
  readonly octets: number;
  readonly connections: number;
  /** Enough for some seconds of load. */
  readonly messages: number;
  readonly subjects: readonly Subject[];
  /** In transport mode. */
  readonly remote?: RemoteLoad;
}

export type Mode = 'outgoing' | 'incoming' | 'transport';

/** Where the mail goes. */
export interface RemoteLoad {
  /** Out of the filter; domains have them by turns. */
  readonly carriers: readonly Carrier[];
  readonly domains: number;
  /** Each in a domain of its own. */
  readonly recipientsEach: number;
}

const subjects = ['straight', 'haproxy', 'filter'] as const;

const outgoing = { mode: 'outgoing', carrier: 'SMTP', connections: 20, subjects } as const;
/** Messages are signed; the key is looked up once. */
const incoming = { ...outgoing, mode: 'incoming' } as const;
/** Connections are kept; smtp-sink speaks no HTTP, so there is nothing to compare with but the same over SMTP. */
const overHttp = { ...incoming, carrier: 'HTTP', subjects: ['filter'] } as const;
const transport = { mode: 'transport', carrier: 'LMTP', subjects: ['filter'] } as const;
/** 20 transactions are what Postfix opens to a destination by default, and fewer than a healthy one may hold. */
const oneDestination = {
  ...transport,
  subjects: ['postfix', 'postfix, TLS kept', 'filter'],
  octets: 9_200,
  connections: 20,
  messages: 10_000,
} as const;

export const scenarios: readonly Scenario[] = [
  { ...outgoing, name: '9k', title: '9 kB, 20 at once', octets: 9_200, messages: 20_000 },
  { ...outgoing, name: '9k-single', title: '9 kB, one at a time', octets: 9_200, connections: 1, messages: 5_000 },
  { ...outgoing, name: '1M', title: '1 MB, 20 at once', octets: 1e6, messages: 1_000 },
  { ...outgoing, name: '30M', title: '30 MB, 20 at once', octets: 30e6, messages: 80 },
  { ...incoming, name: 'in-9k', title: 'incoming, 9 kB, 20 at once', octets: 9_800, messages: 20_000 },
  { ...incoming, name: 'in-1M', title: 'incoming, 1 MB, 20 at once', octets: 1e6, messages: 1_000 },
  { ...incoming, name: 'in-30M', title: 'incoming, 30 MB, 20 at once', octets: 30e6, messages: 80 },
  { ...overHttp, name: 'http-9k', title: '/mxdeliv, 9 kB, 20 at once', octets: 9_800, messages: 20_000 },
  {
    ...oneDestination,
    name: 'out-https-9k',
    title: 'HTTPS out, 9 kB, 20 at once',
    remote: { carriers: ['HTTPS'], domains: 1, recipientsEach: 1 },
  },
  {
    ...oneDestination,
    name: 'out-smtp-9k',
    title: 'SMTP out, 9 kB, 20 at once',
    remote: { carriers: ['SMTP'], domains: 1, recipientsEach: 1 },
  },
  {
    ...transport,
    name: 'out-many',
    title: 'to 1,000 domains, 9 kB, 100 at once',
    octets: 9_200,
    connections: 100,
    messages: 5_000,
    remote: { carriers: ['HTTPS', 'SMTP'], domains: 1_000, recipientsEach: 1 },
  },
  {
    ...transport,
    name: 'out-30M-20',
    title: '30 MB to 20 domains',
    octets: 30e6,
    connections: 1,
    messages: 1,
    remote: { carriers: ['SMTP'], domains: 20, recipientsEach: 20 },
  },
];
