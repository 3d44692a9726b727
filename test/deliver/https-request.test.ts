// What a POST to `/mxdeliv` looks like on the wire, octet for octet.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { Authority } from '../peers/authority.ts';
import { HttpsSender, HttpsServer } from '../peers/https-server.ts';

const authority = new Authority();
const ca = readFileSync(authority.path, 'latin1');
const certificate = authority.issue(['mx.two.test', '127.0.0.1', '::1']);
after(() => authority[Symbol.dispose]());

const addressHeaders = (lines: readonly string[]) => lines.filter(line => /^x-mail/i.test(line));

test('the head: method, path, host, one X-MAIL-TO a recipient in their order, duplicates too, a counted body', async () => {
  await using server = await HttpsServer.listen(certificate);
  using sender = new HttpsSender(server.port, ca);
  const to = ['bob@two.test', '"c, d"@two.test', 'bob@two.test', '"a<b>"@two.test', "o'x+y=z@two.test"];
  const result = await sender.deliver({ to });
  assert.deepEqual(result, { delivered: true, address: '127.0.0.1', tls: 'TLSv1.3' });
  const [request] = server.requests;
  assert.ok(request);
  assert.equal(request.lines[0], 'POST /mxdeliv HTTP/1.1');
  assert.deepEqual(request.values('Host'), ['mx.two.test']);
  assert.deepEqual(addressHeaders(request.lines), [
    'X-MAIL-FROM: alice@one.test',
    ...to.map(address => `X-MAIL-TO: ${address}`),
  ]);
  assert.deepEqual(request.values('Content-Length'), ['21']);
  for (const name of ['Transfer-Encoding', 'Expect', 'Upgrade']) assert.deepEqual(request.values(name), [], name);
  assert.equal(request.body.toString('latin1'), 'Subject: x\r\n\r\nhello\r\n');
  assert.equal(server.peers[0]?.serverName, 'mx.two.test');
});

test('the null sender is an empty X-MAIL-FROM', async () => {
  await using server = await HttpsServer.listen(certificate);
  using sender = new HttpsSender(server.port, ca);
  assert.equal((await sender.deliver({ from: '' })).delivered, true);
  assert.deepEqual(server.requests[0]?.values('X-MAIL-FROM'), ['']);
});

test('a thousand recipients are a thousand headers', async () => {
  await using server = await HttpsServer.listen(certificate);
  using sender = new HttpsSender(server.port, ca);
  const to = Array.from({ length: 1000 }, (_, n) => `user${n}@two.test`);
  assert.equal((await sender.deliver({ to })).delivered, true);
  assert.deepEqual(server.requests[0]?.values('X-MAIL-TO'), to);
});

test('an octet that no header may hold is a failure of HTTPS, not an exception', async () => {
  await using server = await HttpsServer.listen(certificate);
  using sender = new HttpsSender(server.port, ca);
  for (const octet of ['\r\nX-MAIL-TO: eve@two.test', '\n', '\0', '\x01', '\x7f']) {
    const result = await sender.deliver({ to: [`"a${octet}b"@two.test`] });
    assert.equal(result.delivered, false);
  }
  assert.deepEqual(server.requests, []);
});

test('the body is the wire form without the final dot, escaped dots, eight-bit octets and NUL as they are', async () => {
  await using server = await HttpsServer.listen(certificate);
  using sender = new HttpsSender(server.port, ca);
  const every = Array.from({ length: 256 }, (_, octet) => String.fromCharCode(octet))
    .join('')
    .replace(/[\r\n]/g, '');
  for (const wire of ['\r\n', '..\r\n', '...x\r\n..\r\n', `${every}\r\n..end\r\n`]) {
    for (const budget of [undefined, 0]) {
      assert.equal((await sender.deliver({ wire, ...(budget === undefined ? {} : { budget }) })).delivered, true);
      assert.equal(server.requests.at(-1)?.body.toString('latin1'), wire);
    }
  }
});

test('20 MB arrive octet for octet, from memory and from a file', async () => {
  await using server = await HttpsServer.listen(certificate, { keepsBodies: false });
  using sender = new HttpsSender(server.port, ca);
  const wire = Array.from({ length: 400_000 }, (_, n) => `..${n} ${'x'.repeat(n % 80)}\r\n`).join('');
  assert.ok(wire.length > 19_000_000);
  const digest = createHash('sha256').update(wire, 'latin1').digest('hex');
  for (const budget of [64 * 1024 * 1024, 0]) {
    assert.equal((await sender.deliver({ wire, budget })).delivered, true);
    const request = server.requests.at(-1);
    assert.deepEqual([request?.received, request?.digest()], [wire.length, digest]);
  }
});

test('an IPv6 literal stands in brackets in Host, literals have no SNI', async () => {
  for (const [name, host, listening] of [
    ['::1', '[::1]', '::1'],
    ['127.0.0.1', '127.0.0.1', '127.0.0.1'],
  ] as const) {
    await using server = await HttpsServer.listen(certificate, { host: listening });
    using sender = new HttpsSender(server.port, ca);
    const result = await sender.deliver({ host: { name, addresses: [name], anyCertificate: true } });
    assert.equal(result.delivered, true);
    assert.deepEqual(server.requests[0]?.values('Host'), [host]);
    assert.equal(server.peers[0]?.serverName, '');
  }
});
