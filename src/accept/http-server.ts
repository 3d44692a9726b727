/**
 * Listens for HTTP clients, that is for the web server in front, which ends TLS: a POST carries one message to the same intake as SMTP's
 * DATA (`/mxdeliv` of chatmail relays). The path is of no matter.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { HttpDelivery, type HttpServerOptions } from './http-delivery.ts';
import { type Listener, listenWith } from './listener.ts';
import { Ongoing } from './ongoing.ts';

const limits = {
  maxHeaderSize: 65_536,
  /** Milliseconds until the header is complete, and until the request is. */
  headersTimeout: 60_000,
  requestTimeout: 600_000,
  connectionsCheckingInterval: 10_000,
  /** Longer than nginx keeps its own side (60 s): else it could send a request into a connection that we are closing. */
  keepAliveTimeout: 75_000,
} as const;

const noTunnel = 'HTTP/1.1 405 Method Not Allowed\r\nAllow: POST\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';

/** Resolves once the port is bound; rejects when it cannot be. `share` is the part of the descriptors that it may use. */
export function listenHttp(host: string, port: number, options: HttpServerOptions, share = 1): Promise<Listener> {
  const server = createServer({ ...limits, noDelay: true });
  // Else node:http would leave recipients out without a word.
  server.maxHeadersCount = 0;
  const ongoing = new Ongoing();
  /** The latest response of each connection, null where there is none to send. */
  const connections = new Map<Socket, ServerResponse | null>();
  let stopping = false;
  const take = (request: IncomingMessage, response: ServerResponse, asksFirst: boolean) => {
    const { socket } = request;
    response.shouldKeepAlive &&= !stopping;
    connections.set(socket, response);
    response.once('close', () => {
      if (connections.get(socket) === response) connections.set(socket, null);
    });
    new HttpDelivery(request, response, options, ongoing).begin(asksFirst);
  };
  server.on('connection', socket => {
    connections.set(socket, null);
    socket.once('close', () => connections.delete(socket));
  });
  server.on('request', (request, response) => take(request, response, false));
  server.on('checkContinue', (request, response) => take(request, response, true));
  // Not a request for node:http.
  server.on('connect', (_request, socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(noTunnel, () => socket.destroy());
  });
  const end = () => {
    stopping = true;
    for (const [socket, response] of connections) {
      // An answer that is out waits for nothing but the rest of the request.
      if (response === null || response.headersSent) socket.destroySoon();
      else response.shouldKeepAlive = false;
    }
  };
  const destroy = () => {
    for (const socket of connections.keys()) socket.destroy();
  };
  return listenWith(server, { host, port, share, end, destroy, ongoing }, options);
}
