/** The ways by which letters come to the filter. */
import { once } from 'node:events';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { createTransport } from 'nodemailer';
import type { Letter } from './messages.ts';

/** Gives one letter to the filter: the replies that decide, one or, where the protocol has that, one a recipient. */
export type Carrier = (letter: Letter) => Promise<readonly string[]>;

/** How long the filter may be silent, in milliseconds. */
export const patience = 30_000;

/** With nodemailer, over a connection of its own. */
export function overSmtp(port: number): Carrier {
  return async ({ from, to, message }) => {
    const options = { ignoreTLS: true, name: 'client.example', socketTimeout: patience };
    const transport = createTransport({ host: '127.0.0.1', port, ...options });
    try {
      const { response } = await transport.sendMail({ envelope: { from, to: [...to] }, raw: message });
      return [response];
    } catch (error) {
      const { response, message } = error as Error & { response?: string };
      return [response ?? `no reply: ${message}`];
    } finally {
      transport.close();
    }
  };
}

/** As relays send to each other's `/mxdeliv`: envelope in the header, dots doubled, no final dot; over a connection of its own. */
export function overHttp(port: number): Carrier {
  return async ({ from, to, message }) => {
    const headers = { 'X-MAIL-FROM': from, 'X-MAIL-TO': [...to] };
    const target = { host: '127.0.0.1', port, path: '/mxdeliv', method: 'POST' };
    const signal = AbortSignal.timeout(patience);
    try {
      const post = request({ ...target, headers, agent: false, signal }).end(dotted(message));
      const [response] = await once(post, 'response');
      return [`HTTP ${response.statusCode}: ${await text(response)}`];
    } catch (error) {
      return [`no reply: ${(error as Error).message}`];
    }
  };
}

/** As it is on the wire: dots at the beginning of lines doubled. */
export function dotted(message: Buffer): Buffer {
  return Buffer.from(message.toString('latin1').replace(/^\./gm, '..'), 'latin1');
}
