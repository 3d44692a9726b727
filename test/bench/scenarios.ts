// The rows of the table. A row is one size of message at one number of connections; every message has a connection of its own.

export interface Scenario {
  /** What --rows takes. */
  readonly name: string;
  readonly title: string;
  /** The filter's mode. */
  readonly mode: 'outgoing';
  /** About what a message has on the wire. */
  readonly octets: number;
  readonly connections: number;
  /** Enough for some seconds of load. */
  readonly messages: number;
}

export const scenarios: readonly Scenario[] = [
  { name: '9k', title: '9 kB, 20 at once', mode: 'outgoing', octets: 9_200, connections: 20, messages: 20_000 },
  { name: '9k-single', title: '9 kB, one at a time', mode: 'outgoing', octets: 9_200, connections: 1, messages: 5_000 },
  { name: '1M', title: '1 MB, 20 at once', mode: 'outgoing', octets: 1e6, connections: 20, messages: 1_000 },
  { name: '30M', title: '30 MB, 20 at once', mode: 'outgoing', octets: 30e6, connections: 20, messages: 80 },
];
