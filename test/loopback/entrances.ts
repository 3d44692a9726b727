// The two ways in for mail from elsewhere: the same mail over either, and the SMTP reply that it gets.

import assert from 'node:assert/strict';
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import { type Mail, sendOne } from './client.ts';
import type { Site } from './site.ts';

export type Entrance = Readonly<{
  name: 'SMTP' | 'HTTP';
  /** The reply in its wire form without the last CRLF. */
  send(site: Site, mail: Mail): Promise<string>;
}>;

export const smtp: Entrance = { name: 'SMTP', send: (site, mail) => sendOne(site.incomingPort, mail) };

export const http: Entrance = {
  name: 'HTTP',
  async send(site, mail) {
    const { status, body } = await answerTo(post(site, mail));
    assert.equal(status, statusOf(body), body);
    return body;
  },
};

export const entrances = [smtp, http];

/** Keeps connections, as the web server in front does. */
export const agent = new Agent({ keepAlive: true });

/** A POST whose head is out; its body is on the way unless `body` says that the caller writes it. */
export function post(site: Site, { from, to, wire }: Mail, body: Buffer | null = wire.subarray(0, -3)): ClientRequest {
  const recipients = to.flatMap(address => ['X-MAIL-TO', address]);
  const length = ['Content-Length', String(wire.length - 3)];
  const headers = ['Host', 'relay.test', 'X-MAIL-FROM', from, ...recipients, ...length];
  const sent = request({ host: '127.0.0.1', port: site.httpPort, method: 'POST', path: '/mxdeliv', headers, agent });
  if (body === null) sent.flushHeaders();
  else sent.end(body);
  return sent;
}

export function answerTo(sent: ClientRequest): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    sent.on('error', reject);
    sent.on('response', (response: IncomingMessage) => {
      let body = '';
      response.setEncoding('latin1');
      response.on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
  });
}

function statusOf(reply: string): number {
  if (reply.startsWith('2')) return 200;
  return reply === '552 5.3.4 Message exceeds maximum size' ? 413 : 400;
}
