// The load over HTTP: connections that are kept, one POST after the other on each, as from nginx.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import type { Bench, Load } from './load.ts';
import { recipient, sender } from './messages.ts';

/** Posts the message file `messages` times; the seconds from the first connection to the last answer. Any answer but 200 throws. */
export async function post(_bench: Bench, port: number, { file, connections, messages }: Load): Promise<number> {
  const body = readFileSync(file, 'latin1').replaceAll('\n', '\r\n');
  const head = [
    'POST /mxdeliv HTTP/1.1',
    'Host: bench.test',
    `X-MAIL-FROM: ${sender}`,
    `X-MAIL-TO: ${recipient}`,
    `Content-Length: ${body.length}`,
  ];
  const request = Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`, 'latin1');
  let left = messages;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: connections }, async () => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      await once(socket, 'connect');
      while (left-- > 0) await exchange(socket, request);
      socket.destroy();
    }),
  );
  return (performance.now() - start) / 1000;
}

function exchange(socket: Socket, request: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const take = (chunk: Buffer) => {
      answer += chunk.toString('latin1');
      const [head = '', body] = answer.split('\r\n\r\n', 2);
      const length = Number(/^content-length: (\d+)/im.exec(head)?.[1]);
      if (body === undefined || body.length < length) return;
      finish();
      if (answer.startsWith('HTTP/1.1 200 ')) resolve();
      else reject(new Error(`answered: ${answer}`));
    };
    const fail = (error?: unknown) => {
      finish();
      reject(error instanceof Error ? error : new Error('the connection was closed'));
    };
    const finish = () => {
      socket.off('data', take).off('error', fail).off('close', fail);
    };
    socket.on('data', take).on('error', fail).on('close', fail);
    socket.write(request);
  });
}
