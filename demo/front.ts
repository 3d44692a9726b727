/** What nginx is on a relay: ends TLS in front of the filter, and passes each request on. */
import { once } from 'node:events';
import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { Certificate } from '../test/peers/authority.ts';

type Target = Readonly<{ host: string; port: number }>;

export class Front implements AsyncDisposable {
  readonly #server: Server;

  private constructor({ key, cert }: Certificate, target: Target) {
    this.#server = createServer({ key, cert }, (asked, answer) => {
      passOn(asked, answer, target).catch(() => answer.destroy());
    });
  }

  /** On a free port of the target's address. */
  static async listen(certificate: Certificate, target: Target): Promise<Front> {
    const front = new Front(certificate, target);
    await once(front.#server.listen(0, target.host), 'listening');
    return front;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server.close(), 'close');
    this.#server.closeAllConnections();
    await closed;
  }
}

async function passOn(asked: IncomingMessage, answer: ServerResponse, target: Target): Promise<void> {
  const { method, url: path } = asked;
  // A header of its own for each recipient; what is left out is made anew.
  const { host, connection, ...headers } = asked.headersDistinct;
  const onward = request({ ...target, method, path, headers, agent: false });
  const [[answered]] = await Promise.all([once(onward, 'response'), pipeline(asked, onward)]);
  const { 'content-type': type } = answered.headers;
  answer.writeHead(answered.statusCode, type === undefined ? {} : { 'Content-Type': type });
  await pipeline(answered, answer);
}
