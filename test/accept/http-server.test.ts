// Requests to the HTTP entrance in this process: what the mode gets, what the client hears, whatever the octets are cut into.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { bareReply, reply } from '../../src/wire/reply.ts';
import { eventually } from '../loopback/eventually.ts';
import { chunk, chunked, chunkedHead, counted, countedHead, head, short, vic } from '../loopback/http-client.ts';
import { Gate, HttpEntrance, maxMessageSize, ok } from './http-entrance.ts';

let entrance: HttpEntrance;

beforeEach(async () => {
  entrance = await HttpEntrance.start();
});
afterEach(async () => {
  await entrance.stop(0);
  await entrance.holdsNothing();
  assert.deepEqual(entrance.errors(), []);
});

const taken = [200, '250 2.0.0 Ok'] as const;
const message = short('.. and dots\r\n..\r\n..x');

/** What came to the mode since the last look. */
function came(): string[] {
  return entrance.judged.splice(0).map(({ octets }) => octets);
}

describe('bodies cut anywhere', () => {
  const small = short();
  const forms: [name: string, request: Buffer][] = [
    ['counted', counted(small)],
    ['chunked', chunked([small.subarray(0, 9), small.subarray(9, 20), small.subarray(20)])],
    [
      'chunked with extensions and trailers',
      Buffer.concat([
        chunkedHead(),
        Buffer.from(
          `${small.length.toString(16)};a="b";c\r\n${small.toString('latin1')}\r\n000;last\r\nX-MAIL-TO: evil@one.test\r\n\r\n`,
        ),
      ]),
    ],
  ];
  for (const [name, request] of forms) {
    test(`${name}: in two at every octet`, async () => {
      const client = await entrance.connect();
      for (let at = 1; at < request.length; at++) {
        await client.write(request.subarray(0, at));
        await turn();
        await turn();
        assert.deepEqual(await client.ask(request.subarray(at)), taken, `cut at ${at}`);
        assert.deepEqual(came(), [small.toString('latin1')], `cut at ${at}`);
      }
      await client.leave();
    });

    test(`${name}: octet by octet`, async () => {
      const client = await entrance.connect();
      for (const octet of request) {
        await client.write(Buffer.from([octet]));
        await turn();
      }
      assert.deepEqual(await client.outcome(), taken);
      assert.deepEqual(came(), [small.toString('latin1')]);
      await client.leave();
    });
  }

  test('chunks of one octet', async () => {
    const client = await entrance.connect();
    const large = short('y'.repeat(50_000));
    assert.deepEqual(await client.ask(chunked([...large].map(octet => Buffer.from([octet])))), taken);
    assert.deepEqual(came(), [large.toString('latin1')]);
    await client.leave();
  });
});

test('the envelope is what the headers say', async () => {
  const client = await entrance.connect();
  await client.ask(
    counted(message, { from: '"a, b"@c.test', to: ['x@y', 'v+w@z, "q"@z'], lines: ['x-mail-to:last@z'] }),
  );
  await client.ask(counted(message, { from: null, to: [vic] }));
  const envelopes = entrance.judged.map(({ envelope }) => [
    envelope.from.address,
    ...envelope.recipients.map(({ address }) => address),
  ]);
  assert.deepEqual(envelopes, [
    ['"a, b"@c.test', 'x@y', 'v+w@z', '"q"@z', 'last@z'],
    ['', vic],
  ]);
  await client.leave();
});

describe('connections', () => {
  test('HTTP/1.0 gets its answer, then the end', async () => {
    const client = await entrance.connect();
    void client.write(counted(message, { version: '1.0' }));
    const answer = await client.answer();
    assert.deepEqual([answer?.status, answer?.body, answer?.headers.get('connection')], [...taken, 'close']);
    await client.over;
    await client.leave();
    assert.equal(client.broken, null);
  });

  test('HTTP/1.0 that wants to stay', async () => {
    const client = await entrance.connect();
    for (let round = 0; round < 3; round++) {
      assert.deepEqual(
        await client.ask(counted(message, { version: '1.0', lines: ['Connection: keep-alive'] })),
        taken,
      );
    }
    assert.equal(came().length, 3);
    await client.leave();
  });

  test('several messages on one, refused ones between them', async () => {
    const client = await entrance.connect();
    for (let round = 0; round < 5; round++) {
      assert.deepEqual(await client.ask(counted(message)), taken);
      assert.equal((await client.ask(counted(message, { to: [] })))?.[0], 400);
      assert.equal((await client.ask(chunked([message], { method: 'PUT' })))?.[0], 405);
      assert.equal((await client.ask(counted(Buffer.from('a\nb\r\n'))))?.[0], 400);
      assert.equal((await client.ask(counted(Buffer.alloc(maxMessageSize + 1))))?.[0], 413);
      assert.deepEqual(await client.ask(chunked([message])), taken);
    }
    assert.equal(came().length, 10);
    await client.leave();
  });

  test('pipelined requests are answered in their order, whichever is done first', async () => {
    const gates = [new Gate(), new Gate(), new Gate()];
    entrance.judge = ({ octets }) => gates[Number(/(\d)\r\n$/.exec(octets)?.[1])]?.reply ?? ok;
    const client = await entrance.connect();
    void client.write(Buffer.concat([0, 1, 2].map(n => counted(short(`${n}`)))));
    await eventually(() => assert.ok(entrance.judged.length > 0));
    for (const n of [2, 1, 0]) gates[n]?.open(bareReply(250, `number ${n}`));
    for (const n of [0, 1, 2]) assert.deepEqual(await client.outcome(), [200, `250 number ${n}`]);
    assert.deepEqual(
      came().sort(),
      [0, 1, 2].map(n => short(`${n}`).toString('latin1')),
    );
    await client.leave();
  });
});

describe('any path', () => {
  for (const path of [
    '/',
    '/mxdeliv/',
    '/x/y?z=1#',
    '*',
    'http://elsewhere.test/mxdeliv',
    '//',
    '/%00',
    '/../../etc/passwd',
  ]) {
    test(path, async () => {
      const client = await entrance.connect();
      assert.deepEqual(await client.ask(counted(message, { path })), taken);
      await client.leave();
    });
  }
});

describe('other methods: 405, and the connection lives on', () => {
  for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'CONNECT']) {
    test(method, async () => {
      const client = await entrance.connect();
      void client.write(head({ method, path: method === 'CONNECT' ? 'one.test:25' : '/mxdeliv' }));
      const answer = await client.answer();
      assert.deepEqual([answer?.status, answer?.headers.get('allow')], [405, 'POST']);
      if (method !== 'CONNECT') assert.deepEqual(await client.ask(counted(message)), taken);
      await client.leave();
    });
  }

  test('HEAD: no body', async () => {
    const client = await entrance.connect();
    void client.write(head({ method: 'HEAD' }));
    const answer = await client.answer({ bodiless: true });
    assert.deepEqual([answer?.status, answer?.headers.get('allow')], [405, 'POST']);
    assert.deepEqual(await client.ask(counted(message)), taken);
    await client.leave();
  });

  test('an HTTP/2 preface ends the connection', async () => {
    const client = await entrance.connect();
    await client.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    await client.over;
    await client.leave();
    assert.deepEqual(came(), []);
  });
});

test('an offer to upgrade is not taken up', async () => {
  const client = await entrance.connect();
  for (const to of ['websocket', 'h2c', 'TLS/1.2']) {
    const lines = ['Connection: Upgrade, HTTP2-Settings', `Upgrade: ${to}`, 'HTTP2-Settings: AAMAAABkAAQAAP__'];
    assert.deepEqual(await client.ask(counted(message, { lines })), taken);
  }
  assert.equal(came().length, 3);
  await client.leave();
});

describe('Expect: 100-continue', () => {
  const expects = ['Expect: 100-continue'];

  test('100 comes when the body would be taken', async () => {
    for (const request of [
      countedHead(message.length, { lines: expects }),
      chunkedHead({ lines: ['expect: 100-CONTINUE'] }),
    ]) {
      const client = await entrance.connect();
      void client.write(request);
      assert.equal((await client.answer())?.status, 100);
      const isChunked = request.includes('chunked');
      assert.deepEqual(
        await client.ask(isChunked ? Buffer.concat([chunk(message), Buffer.from('0\r\n\r\n')]) : message),
        taken,
      );
      await client.leave();
    }
    assert.equal(came().length, 2);
  });

  const refusals: [name: string, request: Buffer, status: number, body: RegExp][] = [
    ['too large', countedHead(maxMessageSize + 1, { lines: expects }), 413, /^552 5\.3\.4 /],
    ['no recipient', countedHead(9, { to: [], lines: expects }), 400, /^501 5\.5\.4 /],
    ['a bad recipient', countedHead(9, { to: ['<a@b>'], lines: expects }), 400, /^501 5\.1\.3 /],
    ['too many', countedHead(9, { to: Array<string>(1001).fill('a@b'), lines: expects }), 400, /^452 4\.5\.3 /],
    ['another method', countedHead(9, { method: 'PUT', lines: expects }), 405, /^502 5\.5\.1 /],
  ];
  for (const [name, request, status, body] of refusals) {
    test(`${name}: the refusal instead, and the end`, async () => {
      const client = await entrance.connect();
      void client.write(request);
      const answer = await client.answer();
      assert.equal(answer?.status, status);
      assert.match(answer?.body ?? '', body);
      assert.equal(answer?.headers.get('connection'), 'close', 'what comes next could be body or request');
      void client.write(counted(message));
      client.end();
      assert.equal(await client.answer(), null, 'nothing behind it is taken for a request');
      await client.closed;
      assert.deepEqual(came(), []);
    });
  }

  test('the refusal of the mode, too', async () => {
    entrance.recipient = ({ address }) => (address === 'b@c' ? reply(550, '1.1', 'Nobody') : null);
    const client = await entrance.connect();
    assert.deepEqual(await client.ask(countedHead(9, { to: ['a@c', 'b@c'], lines: expects })), [
      400,
      '550 5.1.1 Nobody',
    ]);
    await client.leave();
  });

  test('other expectations are not met', async () => {
    const client = await entrance.connect();
    assert.equal((await client.ask(counted(message, { lines: ['Expect: 200-ok'] })))?.[0], 417);
    await client.leave();
    assert.deepEqual(came(), []);
  });
});

describe('replies of the mode', () => {
  const cases: [ReturnType<typeof reply>, number, string][] = [
    [bareReply(250, 'one', '2.0.0 two', ''), 200, '250-one\r\n250-2.0.0 two\r\n250 '],
    [
      bareReply(523, 'Encryption Needed: Invalid Unencrypted Mail'),
      400,
      '523 Encryption Needed: Invalid Unencrypted Mail',
    ],
    [bareReply(552, '5.2.2 full', '5.2.2 really'), 400, '552-5.2.2 full\r\n552 5.2.2 really'],
    [reply(552, '3.4', 'Message exceeds maximum size'), 413, '552 5.3.4 Message exceeds maximum size'],
    [reply(451, '7.5', 'later'), 400, '451 4.7.5 later'],
    [bareReply(550, 'a\r\n\r\nHTTP/1.1 200 OK\r\n\0'), 400, '550 a????HTTP/1.1 200 OK???'],
    [bareReply(550, '\xc3\xa9 x'), 400, '550 \xc3\xa9 x'],
  ];
  for (const [answer, status, body] of cases) {
    test(JSON.stringify(answer.lines), async () => {
      entrance.judge = () => answer;
      const client = await entrance.connect();
      assert.deepEqual(await client.ask(counted(message)), [status, body]);
      await client.leave();
    });
  }
});
