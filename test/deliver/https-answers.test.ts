// What counts as delivered, and what every other answer is: a failure that says so, at once, and leaves nothing behind.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import type { HttpsResult } from '../../src/deliver/https-carrier.ts';
import { Authority } from '../peers/authority.ts';
import { accepted, answer, type HttpsPeer, HttpsSender, HttpsServer, type Script } from '../peers/https-server.ts';

const authority = new Authority();
const ca = readFileSync(authority.path, 'latin1');
const certificate = authority.issue(['mx.two.test']);
after(() => authority[Symbol.dispose]());

const large = `${'0123456789'.repeat(500_000)}\r\n`;
/** Far less than any deadline of the client. */
const prompt = 5000;

async function under(script: Script, wire = 'x\r\n'): Promise<{ result: HttpsResult; server: HttpsServer }> {
  await using server = await HttpsServer.listen(certificate, { script });
  using sender = new HttpsSender(server.port, ca);
  const began = performance.now();
  const result = await sender.deliver({ wire });
  assert.ok(performance.now() - began < prompt, 'the answer took too long');
  return { result, server };
}

const afterAll = (octets: string): Script => ({ request: peer => peer.write(octets) });
const afterAllEnd = (octets: string): Script => ({ request: peer => peer.end(octets) });
const chunked = (...chunks: readonly string[]) =>
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks.map(text => `${text.length.toString(16)}\r\n${text}\r\n`).join('')}`;
const continued = 'HTTP/1.1 100 Continue\r\n\r\n';
const hinted = 'HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n';

const deliveries: [name: string, script: Script][] = [
  ['250 as text', afterAll(accepted)],
  ['250 with line ends', afterAll(answer(200, '250 2.0.0 OK\r\n'))],
  ['250 alone', afterAll(answer(200, '250'))],
  ['two lines', afterAll(answer(200, '250-2.0.0 OK\r\n250 queued\r\n'))],
  ['251', afterAll(answer(201, '251 will forward'))],
  ['OK', afterAll(answer(200, 'OK'))],
  ['ok', afterAll(answer(202, 'ok\n'))],
  ['Ok between blanks', afterAll(answer(200, ' \tOk\r\n '))],
  ['nothing', afterAll(answer(200))],
  ['204', afterAll('HTTP/1.1 204 No Content\r\n\r\n')],
  ['only line ends', afterAll(answer(200, '\r\n'))],
  ['chunked', afterAll(`${chunked('25', '0 OK')}0\r\n\r\n`)],
  ['chunked with a trailer', afterAll(`${chunked('250 OK')}0\r\nX-Sum: 1\r\n\r\n`)],
  ['until the connection ends', afterAllEnd('HTTP/1.1 200 OK\r\n\r\n250 OK')],
  ['HTTP/1.0', afterAllEnd('HTTP/1.0 200 OK\r\n\r\n250 OK')],
  ['no reason phrase', afterAll('HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nOK')],
  ['after 100', afterAll(`${continued}${accepted}`)],
  ['after 103', afterAll(`${hinted}${accepted}`)],
  ['after a hundred 1xx', afterAll(`${`${continued}${hinted}`.repeat(50)}${accepted}`)],
  ['100 at the head', { head: peer => peer.write(continued), request: peer => peer.write(accepted) }],
  ['250 and much more', afterAll(answer(200, `250 OK\r\n${'x'.repeat(1_000_000)}`))],
  ['250 and more than is sent', afterAllEnd('HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n250 OK')],
  ['250 in a body without end', afterAll('HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n250 2.0.0 OK\r\n')],
  ['250 in chunks without end', afterAll(chunked('250 2.0.0 OK\r\n'))],
  ['250 and then a bad chunk', afterAll(`${chunked('250 2.0.0 OK\r\n')}zz\r\n`)],
];

for (const [name, script] of deliveries) {
  test(`delivered: ${name}`, { timeout: 2 * prompt }, async () => {
    const { result, server } = await under(script);
    assert.deepEqual(result, { delivered: true, address: '127.0.0.1', tls: 'TLSv1.3' });
    assert.equal(server.requests.length, 1);
  });
}

const page = '<!DOCTYPE html><html><body>Welcome to nginx! 250 OK</body></html>';

/** `cause` of the failure, and whether HTTPS is of no use at this host. */
const refusals: [name: string, script: Script, cause: RegExp, useless: boolean][] = [
  ['200 with a page', afterAll(answer(200, page)), /^200 <!DOCTYPE/, true],
  ['200 with a huge page', afterAll(answer(200, page.repeat(50_000))), /^200 <!DOCTYPE/, true],
  ['200 with OK and more', afterAll(answer(200, 'OK then')), /^200 OK then$/, true],
  ['200 with a refusal', afterAll(answer(200, '550 5.1.1 no')), /^200 550 5\.1\.1 no$/, true],
  ['200 with 25', afterAll(answer(200, '25')), /^200 25$/, true],
  ['200 with JSON', afterAll(answer(200, '{"status":"250 OK"}')), /^200 \{/, true],
  ['301', afterAll(answer(301, '', 'Location: https://mx.two.test/elsewhere')), /^301$/, false],
  ['302', afterAll(answer(302, '250 OK', 'Location: /')), /^302 250 OK$/, false],
  ['304', afterAll('HTTP/1.1 304 Not Modified\r\n\r\n'), /^304$/, false],
  ['307', afterAll(answer(307, '', 'Location: /mxdeliv')), /^307$/, false],
  ['400 with a reply', afterAll(answer(400, '523 5.7.10 Encryption Needed')), /^400 523 5\.7\.10 Enc/, false],
  ['400 with 250', afterAll(answer(400, '250 OK')), /^400 250 OK$/, false],
  ['401', afterAll(answer(401, 'who?', 'WWW-Authenticate: Basic')), /^401 who\?$/, false],
  ['404', afterAll(answer(404, page)), /^404 </, true],
  ['405', afterAll(answer(405, '', 'Allow: GET')), /^405$/, true],
  ['407', afterAll(answer(407)), /^407$/, false],
  ['429', afterAll(answer(429, 'later', 'Retry-After: 60')), /^429 later$/, false],
  ['500', afterAll(answer(500)), /^500$/, true],
  ['503', afterAll(answer(503, '250 OK')), /^503 250 OK$/, true],
  ['999', afterAll(answer(999)), /^999$/, true],
  ['a 500 without end', afterAll(`HTTP/1.1 500 No\r\n\r\n${'x'.repeat(5000)}`), /^500 xxx/, true],
  ['a 413 that is cut', afterAllEnd('HTTP/1.1 413 No\r\nContent-Length: 9\r\n\r\nno'), /^413 no$/, false],
  ['a 400 that is cut before its body', afterAllEnd('HTTP/1.1 400 No\r\nContent-Length: 9\r\n\r\n'), /^400/, false],
  ['100 and no more', afterAllEnd(continued), /./, true],
  ['101', afterAll('HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'), /./, true],
  ['101 and then an answer', afterAll(`HTTP/1.1 101 Switching\r\n\r\n${accepted}`), /./, false],
  ['101 and the end', afterAllEnd('HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'), /./, true],
  ['HTTP/0.9', afterAllEnd('250 OK\r\n'), /./, true],
  ['HTTP/0.9 that never ends', afterAll('<html>250 OK\r\n'), /./, true],
  ['an SMTP greeting', afterAll('220 mx.two.test ESMTP\r\n'), /./, true],
  ['HTTP/2 frames', afterAll('\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0'), /./, true],
  ['HTTP/3.0', afterAll('HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n'), /./, true],
  ['a bomb of headers', afterAll(`HTTP/1.1 200 OK\r\n${`X-Bomb: ${'x'.repeat(1000)}\r\n`.repeat(100)}`), /./, true],
  ['one endless header', afterAll(`HTTP/1.1 200 OK\r\nX-Bomb: ${'x'.repeat(100_000)}`), /./, true],
  ['an endless status line', afterAll(`HTTP/1.1 200 ${'x'.repeat(100_000)}`), /./, true],
  ['two lengths', afterAll('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nOK'), /./, true],
  [
    'length and chunks',
    afterAll(`${chunked('250 OK')}0\r\n\r\n`.replace('\r\n', '\r\nContent-Length: 2\r\n')),
    /./,
    true,
  ],
  ['a negative length', afterAll('HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nOK'), /./, true],
  ['a bad chunk at once', afterAll(`${chunked()}zz\r\n250 OK\r\n`), /./, true],
  ['200 cut before its body', afterAllEnd('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n'), /./, true],
  ['200 cut in 250', afterAllEnd('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n25'), /./, true],
  ['200 with chunks that end before one', afterAllEnd(chunked()), /./, true],
  ['no answer, the end', { request: peer => peer.end() }, /./, true],
  ['no answer, a reset', { request: peer => peer.reset() }, /./, true],
  ['half a head and the end', afterAllEnd('HTTP/1.1 200 OK\r\nContent-Len'), /./, true],
];

for (const [name, script, cause, useless] of refusals) {
  test(`not delivered: ${name}`, { timeout: 2 * prompt }, async () => {
    const { result, server } = await under(script);
    assert.ok(!result.delivered);
    assert.match(result.cause, cause);
    assert.equal(result.useless, useless, 'useless');
    assert.equal(server.requests.length, 1);
  });
}

const early: [name: string, octets: string, status: number][] = [
  ['413', answer(413, '552 5.3.4 too large'), 413],
  ['413 and Connection: close', answer(413, page, 'Connection: close'), 413],
  ['500', answer(500), 500],
  ['302', answer(302, '', 'Location: /'), 302],
];

for (const [name, octets, status] of early) {
  for (const how of ['stays open', 'ends', 'is reset', 'is deaf', 'reads on'] as const) {
    test(`an answer before the message is complete: ${name}, and the connection ${how}`, async () => {
      const script: Script = {
        head(peer) {
          if (how !== 'reads on') peer.pause();
          if (how === 'ends') peer.end(octets);
          else peer.write(octets);
          // The answer must be on its way before a reset may overtake it.
          if (how === 'is reset') setTimeout(() => peer.reset(), 50);
        },
        request: () => undefined,
      };
      const { result } = await under(script, large);
      assert.ok(!result.delivered);
      assert.match(result.cause, new RegExp(`^${status}`));
      assert.equal(result.alive, true);
    });
  }
}

test('a 2xx before the last octet is out is no delivery: nobody has the message', async () => {
  for (const octets of [accepted, answer(200), answer(200, 'OK', 'Connection: close')]) {
    const script: Script = {
      head(peer) {
        peer.pause();
        peer.write(octets);
      },
      request: () => undefined,
    };
    const { result, server } = await under(script, large);
    assert.equal(server.complete.length, 0);
    assert.equal(result.delivered, false, octets);
  }
});

test('after an early answer the connection is not used for the next message', async () => {
  await using server = await HttpsServer.listen(certificate, {
    script: {
      head(peer) {
        peer.pause();
        peer.write(answer(413));
      },
    },
  });
  using sender = new HttpsSender(server.port, ca);
  assert.equal((await sender.deliver({ wire: large })).delivered, false);
  server.script = {};
  assert.equal((await sender.deliver()).delivered, true);
  assert.equal(server.peers.length, 2);
  assert.equal(server.peers[1]?.requests[0]?.body.toString('latin1'), 'Subject: x\r\n\r\nhello\r\n');
});

test('an early answer to a small message leaves a connection that can be used again', async () => {
  await using server = await HttpsServer.listen(certificate, {
    script: { head: peer => peer.write(answer(400, '550 5.1.1 no')), request: () => undefined },
  });
  using sender = new HttpsSender(server.port, ca);
  assert.equal((await sender.deliver()).delivered, false);
  server.script = {};
  assert.equal((await sender.deliver()).delivered, true);
});

for (const stage of ['connection', 'secure', 'head', 'body', 'request'] as const) {
  for (const how of ['end', 'reset'] as const) {
    for (const [size, wire] of [
      ['small', 'x\r\n'],
      ['large', large],
    ] as const) {
      test(`a new connection that breaks is a failure: ${stage}, ${how}, ${size}`, async () => {
        const broken: Script = { [stage]: (peer: HttpsPeer) => peer[how]() };
        const { result } = await under(Object.assign({ request: () => undefined }, broken), wire);
        assert.ok(!result.delivered && !result.alive && result.useless);
        assert.notEqual(result.cause, '');
      });
    }
  }
}

test('junk instead of TLS', async () => {
  for (const junk of [
    'HTTP/1.1 400 Bad Request\r\n\r\n',
    '220 mx ESMTP\r\n',
    '\0'.repeat(100),
    '\x15\x03\x01\0\x02\x02\x28',
  ]) {
    const { result } = await under({ connection: peer => peer.write(junk) });
    assert.ok(!result.delivered && !result.alive && result.useless);
    assert.equal(result.phase, 'TLS');
    assert.equal(result.address, '127.0.0.1');
  }
});
