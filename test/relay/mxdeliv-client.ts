// A small client of /mxdeliv that sends exactly the octets it is given.

import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { wire } from './client.ts';

/** The body of the answer. */
export function sendOverHttp(port: number, from: string, to: string, message: Buffer): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const headers = { 'X-MAIL-FROM': from, 'X-MAIL-TO': to };
  request({ port, method: 'POST', path: '/mxdeliv', headers }, response => resolve(text(response)))
    .on('error', reject)
    .end(wire(message).subarray(0, -3));
  return promise;
}
