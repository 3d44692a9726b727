/** Listens for SMTP or LMTP clients. An accept failure is logged and survived; stopping lets transactions end. */
import { createServer, type Server } from 'node:net';
import { quoted } from '../message/text.ts';
import { descriptorLimit } from '../system/descriptors.ts';
import { SmtpConnection, type SmtpServerOptions } from './smtp-connection.ts';

export interface Listener {
  readonly port: number;
  /** Stops accepting, lets transactions end, at most for `grace` milliseconds. */
  stop(grace: number): Promise<void>;
}

const backlog = 1024;
const errorLogInterval = 1000;
/** Descriptors of the process itself, and what a message may take: its connection, a spool file, a connection to the next hop. */
const ownDescriptors = 40;
const descriptorsEach = 3;

/** Resolves once the port is bound; rejects when it cannot be. */
export function listen(host: string, port: number, options: SmtpServerOptions): Promise<Listener> {
  const connections = new Set<SmtpConnection>();
  const server = createServer({ noDelay: true, allowHalfOpen: true }, socket => {
    const connection = new SmtpConnection(socket, options);
    connections.add(connection);
    socket.once('close', () => connections.delete(connection));
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, backlog }, () => {
      server.removeListener('error', reject);
      survive(server, options);
      const address = server.address();
      resolve({
        port: typeof address === 'object' && address !== null ? address.port : port,
        stop: grace => stop(server, connections, grace),
      });
    });
  });
}

/**
 * Keeps the process alive whatever accepting does. Clients are turned away before the descriptors run out: at that point libuv would do it
 * without a word, and the messages of those already here would have none for spool and delivery.
 */
function survive(server: Server, { log, label, clock }: SmtpServerOptions): void {
  let quietUntil = 0;
  const complain = (cause: string) => {
    if (clock() < quietUntil) return;
    quietUntil = clock() + errorLogInterval;
    log.error(`${label}: cannot accept a connection: ${cause}`);
  };
  const most = Math.max(1, Math.floor((descriptorLimit() - ownDescriptors) / descriptorsEach));
  if (Number.isFinite(most)) server.maxConnections = most;
  server.on('drop', () => complain(`${most} are open, more would take the last descriptors (LimitNOFILE)`));
  server.on('error', error => complain(quoted(error.message)));
}

function stop(server: Server, connections: ReadonlySet<SmtpConnection>, grace: number): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(() => {
      for (const connection of connections) connection.destroy();
    }, grace);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    for (const connection of connections) connection.stop();
  });
}
