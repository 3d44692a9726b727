// HTTP connections that have no message under way hold up nothing when the filter is told to stop.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Gate } from './incoming-gate.ts';
import { undoAtEnd } from './tidy.ts';

const requests: readonly [name: string, octets: string, answer: RegExp | null][] = [
  ['half a header', 'POST /mxdeliv HTTP/1.1\r\nHost: x\r\nX-MAIL-', null],
  ['nothing', '', null],
  ['CONNECT', 'CONNECT a.test:1 HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 405 /],
  [
    'a refusal before the body',
    'POST / HTTP/1.1\r\nHost: x\r\nX-MAIL-TO: a@two.test\r\nContent-Length: 100\r\n\r\n',
    /^HTTP\/1\.1 400 [\s\S]*Relay access denied/,
  ],
];

for (const [name, octets, answer] of requests) {
  test(`stop: ${name}`, async () => {
    const gate = await Gate.open([]);
    const socket = connect({ port: gate.site.httpPort, host: '127.0.0.1', allowHalfOpen: true });
    undoAtEnd(() => socket.destroy());
    let heard = '';
    socket.setEncoding('latin1').on('data', text => {
      heard += text;
    });
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(octets);
    if (answer !== null) await once(socket, 'data');
    const began = performance.now();
    gate.filter.signal('SIGTERM');
    assert.equal(await gate.filter.ended(), 0);
    assert.ok(performance.now() - began < 5000, 'long before the 10 s that messages have');
    if (answer !== null) assert.match(heard, answer);
  });
}
