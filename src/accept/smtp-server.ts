/** Listens for SMTP or LMTP clients. */
import { createServer } from 'node:net';
import { type Listener, listenWith } from './listener.ts';
import { SmtpConnection, type SmtpServerOptions } from './smtp-connection.ts';

/** Resolves once the port is bound; rejects when it cannot be. `share` is the part of the descriptors that it may use. */
export function listenSmtp(host: string, port: number, options: SmtpServerOptions, share = 1): Promise<Listener> {
  const connections = new Set<SmtpConnection>();
  const server = createServer({ noDelay: true, allowHalfOpen: true }, socket => {
    const connection = new SmtpConnection(socket, options);
    connections.add(connection);
    socket.once('close', () => connections.delete(connection));
  });
  const end = () => {
    for (const connection of connections) connection.stop();
  };
  const destroy = () => {
    for (const connection of connections) connection.destroy();
  };
  return listenWith(server, { host, port, share, end, destroy }, options);
}
