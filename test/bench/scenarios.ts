// The rows of the table. A row is one size of message at one number of connections; over SMTP every message has a connection of its own.

import { type Subject, subjects } from './subjects.ts';

export interface Scenario {
  /** What --rows takes. */
  readonly name: string;
  readonly title: string;
  /** The filter's mode. */
  readonly mode: Mode;
  readonly carrier: 'SMTP' | 'HTTP';
  /** About what a message has on the wire. */
  readonly octets: number;
  readonly connections: number;
  /** Enough for some seconds of load. */
  readonly messages: number;
  readonly subjects: readonly Subject[];
}

export type Mode = 'outgoing' | 'incoming';

const outgoing = { mode: 'outgoing', carrier: 'SMTP', connections: 20, subjects } as const;
/** Messages are signed; the key is looked up once. */
const incoming = { ...outgoing, mode: 'incoming' } as const;
/** Connections are kept; smtp-sink speaks no HTTP, so there is nothing to compare with but the same over SMTP. */
const overHttp = { ...incoming, carrier: 'HTTP', subjects: ['filter'] } as const;

export const scenarios: readonly Scenario[] = [
  { ...outgoing, name: '9k', title: '9 kB, 20 at once', octets: 9_200, messages: 20_000 },
  { ...outgoing, name: '9k-single', title: '9 kB, one at a time', octets: 9_200, connections: 1, messages: 5_000 },
  { ...outgoing, name: '1M', title: '1 MB, 20 at once', octets: 1e6, messages: 1_000 },
  { ...outgoing, name: '30M', title: '30 MB, 20 at once', octets: 30e6, messages: 80 },
  { ...incoming, name: 'in-9k', title: 'incoming, 9 kB, 20 at once', octets: 9_800, messages: 20_000 },
  { ...incoming, name: 'in-1M', title: 'incoming, 1 MB, 20 at once', octets: 1e6, messages: 1_000 },
  { ...incoming, name: 'in-30M', title: 'incoming, 30 MB, 20 at once', octets: 30e6, messages: 80 },
  { ...overHttp, name: 'http-9k', title: '/mxdeliv, 9 kB, 20 at once', octets: 9_800, messages: 20_000 },
];
