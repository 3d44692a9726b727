/** Listens for SMTP or LMTP clients. */
import { createServer } from 'node:net';
import { type Listener, listenWith } from './listener.ts';
import { Ongoing } from './ongoing.ts';
import { SmtpConnection, type SmtpServerOptions } from './smtp-connection.ts';
import type { Reception, RecipientReplies } from './transaction.ts';

/** Resolves once the port is bound; rejects when it cannot be. `share` is the part of the descriptors that it may use. */
export function listenSmtp(host: string, port: number, options: SmtpServerOptions, share = 1): Promise<Listener> {
  return listenBy(host, port, options, () => options, share);
}

export type LmtpServerOptions = Omit<SmtpServerOptions, 'protocol' | 'reception'>;

/** The same for LMTP: each connection has a reception of its own, and each recipient an answer. */
export function listenLmtp(
  host: string,
  port: number,
  options: LmtpServerOptions,
  receive: () => Reception<RecipientReplies>,
): Promise<Listener> {
  return listenBy(host, port, options, () => ({ ...options, protocol: 'LMTP', reception: receive() }), 1);
}

function listenBy(
  host: string,
  port: number,
  options: LmtpServerOptions,
  optionsForOne: () => SmtpServerOptions,
  share: number,
): Promise<Listener> {
  const connections = new Set<SmtpConnection>();
  const ongoing = new Ongoing();
  const server = createServer({ noDelay: true, allowHalfOpen: true }, socket => {
    const connection = new SmtpConnection(socket, optionsForOne(), ongoing);
    connections.add(connection);
    socket.once('close', () => connections.delete(connection));
  });
  const end = () => {
    for (const connection of connections) connection.stop();
  };
  const destroy = () => {
    for (const connection of connections) connection.destroy();
  };
  return listenWith(server, { host, port, share, end, destroy, ongoing }, options);
}
