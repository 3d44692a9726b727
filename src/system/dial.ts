/** Outgoing TCP connections. */
import { connect, type Socket } from 'node:net';
import { causeOf } from './errors.ts';

/** `cause` in words for an admin: `connection refused (ECONNREFUSED)`. */
export type DialFailure = Readonly<{ address: string; cause: string }>;

export type Dialled = Readonly<{
  /** Connected. Its errors have a listener, so that none is thrown before its owner listens. */
  socket: Socket;
  address: string;
  /** What failed sooner than this connected. */
  failed: readonly DialFailure[];
  /** What was given up for this connection: to be dialled next if it turns out to be no good. */
  untried: readonly string[];
}>;

export type DialOptions = Readonly<{
  /** Milliseconds for all of them. */
  timeout: number;
  signal: AbortSignal;
}>;

/** Begins to connect to an IP address. Small writes go out at once: with Nagle's algorithm every message would wait for an ACK. */
export function dial(address: string, port: number): Socket {
  return connect({ host: address, port, noDelay: true });
}

/**
 * Dials all these IP addresses at once; the first that connects wins, and the others are closed. Without a winner every address has a
 * failure, in the order of events. Null when `signal` aborts first. Never rejects.
 */
export function dialFirst(
  addresses: readonly string[],
  port: number,
  { timeout, signal }: DialOptions,
): Promise<Dialled | Readonly<{ failed: readonly DialFailure[] }> | null> {
  if (signal.aborted) return Promise.resolve(null);
  if (addresses.length === 0) return Promise.resolve({ failed: [] });
  return new Promise(resolve => {
    const racing = new Map<Socket, string>();
    const failed: DialFailure[] = [];

    const end = (result: Dialled | { failed: DialFailure[] } | null) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
      for (const socket of racing.keys()) socket.destroy();
      racing.clear();
      resolve(result);
    };
    const giveUp = () => end(null);
    const runOut = () => {
      const cause = `no answer within ${Number((timeout / 1000).toFixed(1))} s`;
      for (const address of racing.values()) failed.push({ address, cause });
      end({ failed });
    };
    const timer = setTimeout(runOut, timeout);
    signal.addEventListener('abort', giveUp);

    for (const address of addresses) {
      const socket = dial(address, port);
      racing.set(socket, address);
      socket.on('error', error => {
        if (!racing.delete(socket)) return;
        failed.push({ address, cause: causeOf(error) });
        if (racing.size === 0) end({ failed });
      });
      socket.once('connect', () => {
        if (!racing.delete(socket)) return;
        end({ socket, address, failed, untried: [...racing.values()] });
      });
    }
  });
}
