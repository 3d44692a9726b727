/** Connections to one host: all its addresses at once, the first that connects; when that one is no good, the others. */
import type { Socket } from 'node:net';
import type { Clock } from '../system/clock.ts';
import { dialFirst } from '../system/dial.ts';
import type { Phase } from './outcome.ts';

/** Why an address was of no use. */
export type AddressFailure = Readonly<{ address: string; phase: Phase; cause: string }>;

export type Target = Readonly<{
  addresses: readonly string[];
  port: number;
  /** Milliseconds for dialling and what TLS takes, in all or for each connection that is made. */
  time: number;
  inAll: boolean;
  signal: AbortSignal;
  clock: Clock;
}>;

/**
 * What `make` makes of a connection that stands, given the milliseconds that are left for TLS. A failure of its own must have closed the
 * connection.
 */
export type Make<Made> = (socket: Socket, address: string, left: number) => Promise<Made | AddressFailure>;

/** The first thing made, or a failure for each address in the order of events. */
export async function connectHost<Made extends object>(
  { addresses, port, time, inAll, signal, clock }: Target,
  make: Make<Made>,
): Promise<Made | readonly AddressFailure[]> {
  const failures: AddressFailure[] = [];
  let end = clock() + time;
  for (let untried = addresses; untried.length > 0; ) {
    if (!inAll) end = clock() + time;
    const dialled = await dialFirst(untried, port, { timeout: Math.max(1, Math.round(end - clock())), signal });
    if (dialled === null) return [...failures, cancelled];
    for (const { address, cause } of dialled.failed) failures.push({ address, phase: 'connect', cause });
    if (!('socket' in dialled)) break;
    const made = await make(dialled.socket, dialled.address, Math.max(1, Math.round(end - clock())));
    if (!('phase' in made)) return made;
    failures.push(made);
    untried = signal.aborted || (inAll && clock() >= end) ? [] : dialled.untried;
  }
  return failures;
}

const cancelled: AddressFailure = { address: '', phase: 'connect', cause: 'the delivery was cancelled' };
