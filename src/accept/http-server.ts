/**
 * Listens for HTTP clients, that is for the web server in front, which ends TLS: a POST carries one message to the same intake as SMTP's
 * DATA (`/mxdeliv` of chatmail relays). The path is of no matter.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { HttpDelivery, type HttpServerOptions } from './http-delivery.ts';
import { type Listener, listenWith } from './listener.ts';

const limits = {
  maxHeaderSize: 65_536,
  /** Milliseconds until the header is complete, and until the request is. */
  headersTimeout: 60_000,
  requestTimeout: 600_000,
  connectionsCheckingInterval: 10_000,
  /** Longer than nginx keeps its own side (60 s): else it could send a request into a connection that we are closing. */
  keepAliveTimeout: 75_000,
} as const;

/** Resolves once the port is bound; rejects when it cannot be. `share` is the part of the descriptors that it may use. */
export function listenHttp(host: string, port: number, options: HttpServerOptions, share = 1): Promise<Listener> {
  const server = createServer({ ...limits, noDelay: true });
  // Else node:http would leave recipients out without a word.
  server.maxHeadersCount = 0;
  const unanswered = new Set<ServerResponse>();
  let stopping = false;
  const take = (request: IncomingMessage, response: ServerResponse, asksFirst: boolean) => {
    response.shouldKeepAlive &&= !stopping;
    unanswered.add(response);
    response.once('close', () => unanswered.delete(response));
    new HttpDelivery(request, response, options).begin(asksFirst);
  };
  server.on('request', (request, response) => take(request, response, false));
  server.on('checkContinue', (request, response) => take(request, response, true));
  const end = () => {
    stopping = true;
    for (const response of unanswered) response.shouldKeepAlive = false;
    server.closeIdleConnections();
  };
  return listenWith(server, { host, port, share, end, destroy: () => server.closeAllConnections() }, options);
}
