/** A listening socket that survives whatever accepting does, and stops in two steps. */
import type { Server } from 'node:net';
import { quoted } from '../message/text.ts';
import { descriptorLimit } from '../system/descriptors.ts';
import type { Ongoing } from './ongoing.ts';
import type { Entrance } from './transaction.ts';

export interface Listener {
  readonly port: number;
  /** Stops accepting, lets transactions end, at most for `grace` milliseconds. */
  stop(grace: number): Promise<void>;
}

export type ListenerOptions = Readonly<{
  host: string;
  port: number;
  /** Which part of the process's descriptors its connections may use, at most 1. */
  share: number;
  /** Ends connections as soon as their transactions, if any, are over. */
  end(): void;
  /** Ends them at once. */
  destroy(): void;
  ongoing: Ongoing;
}>;

const backlog = 1024;
const errorLogInterval = 1000;
/** Descriptors of the process itself, and what a message may take: its connection, a spool file, a connection to the next hop. */
const ownDescriptors = 40;
const descriptorsEach = 3;

/** Resolves once the port is bound; rejects when it cannot be. */
export function listenWith(
  server: Server,
  options: ListenerOptions,
  entrance: Pick<Entrance, 'log' | 'label' | 'clock'>,
): Promise<Listener> {
  const { host, port } = options;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, backlog }, () => {
      server.removeListener('error', reject);
      survive(server, options.share, entrance);
      const address = server.address();
      resolve({
        port: typeof address === 'object' && address !== null ? address.port : port,
        stop: grace => stop(server, options, grace),
      });
    });
  });
}

/**
 * Keeps the process alive. Clients are turned away before the descriptors run out: at that point libuv would do it without a word, and the
 * messages of those already here would have none for spool and delivery.
 */
function survive(
  server: Server,
  share: number,
  { log, label, clock }: Pick<Entrance, 'log' | 'label' | 'clock'>,
): void {
  let quietUntil = 0;
  const complain = (cause: string) => {
    if (clock() < quietUntil) return;
    quietUntil = clock() + errorLogInterval;
    log.error(`${label}: cannot accept a connection: ${cause}`);
  };
  const most = Math.max(1, Math.floor(((descriptorLimit() - ownDescriptors) / descriptorsEach) * share));
  if (Number.isFinite(most)) server.maxConnections = most;
  server.on('drop', () => complain(`${most} are open, more would take the last descriptors (LimitNOFILE)`));
  server.on('error', error => complain(quoted(error.message)));
}

async function stop(server: Server, { end, destroy, ongoing }: ListenerOptions, grace: number): Promise<void> {
  const { promise: late, resolve: tooLate } = Promise.withResolvers<void>();
  const closed = new Promise<void>(resolve => server.close(() => resolve()));
  const timer = setTimeout(() => {
    destroy();
    tooLate();
  }, grace);
  end();
  await Promise.race([closed.then(() => ongoing.settled()), late]);
  clearTimeout(timer);
}
