/** Outgoing TCP connections. */
import { connect, type Socket } from 'node:net';

/** Begins to connect to an IP address. Small writes go out at once: with Nagle's algorithm every message would wait for an ACK. */
export function dial(address: string, port: number): Socket {
  return connect({ host: address, port, noDelay: true });
}
