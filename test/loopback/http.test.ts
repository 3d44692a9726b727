// Messages over HTTP through the real binary: what reaches the next hop and what the client hears.

import assert from 'node:assert/strict';
import { afterEach, before, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { sealed } from '../relay/mail.ts';
import { author, chunked, chunkedHead, counted, countedHead, type Head, head, short, vic } from './http-client.ts';
import { HttpVictim, taken } from './http-victim.ts';

const limit = 200_000;
let victim: HttpVictim;

before(async () => {
  victim = await HttpVictim.start({ max_message_size: limit });
});
afterEach(() => victim.arrived());

const forms = { counted: (body: Buffer) => counted(body), chunked: (body: Buffer) => chunked([body]) };
const tooLarge = [413, '552 5.3.4 Message exceeds maximum size'] as const;

/** A message of so many octets, of which the last line is `last`. */
function sized(octets: number, last = 'end'): Buffer {
  const filler = octets - short(`\r\n${last}`).length;
  return short(`${'z'.repeat(filler)}\r\n${last}`);
}

describe('bodies that are taken', () => {
  const bodies: [name: string, body: Buffer][] = [
    ['a short one', short()],
    ['dots', short('..\r\n..x\r\nx.\r\n ..\r\n....')],
    ['only dots behind the header', short('..')],
    [
      'every octet but CR, LF and NUL',
      short(
        Buffer.from(Array.from({ length: 256 }, (_, n) => n).filter(n => ![0, 10, 13].includes(n))).toString('latin1'),
      ),
    ],
    ['a long line', short('y'.repeat(150_000))],
    ['no body', Buffer.from(`From: ${author}\r\n\r\n`)],
    ['no blank line', Buffer.from(`From: ${author}\r\n`)],
    ['as much as fits', sized(limit)],
  ];
  for (const [name, body] of bodies) {
    for (const [form, request] of Object.entries(forms)) {
      test(`${name}, ${form}`, async () => {
        assert.deepEqual(await victim.ask(request(body)), taken);
        victim.arrived(body);
      });
    }
  }

  test('octet by octet', async () => {
    const body = short('slow');
    for (const request of [counted(body), chunked([...body].map(octet => Buffer.from([octet])))]) {
      const client = await victim.connect();
      for (const octet of request) {
        await client.write(Buffer.from([octet]));
        await turn();
      }
      assert.deepEqual(await client.outcome(), taken);
      victim.arrived(body);
      await client.leave();
    }
  });

  test('the limit is of the message: dots that SMTP adds do not count where no length is told', async () => {
    const body = sized(limit + 1, '..');
    assert.deepEqual(await victim.ask(chunked([body])), taken);
    victim.arrived(body);
  });

  test('fifty, one after the other on one connection', async () => {
    const client = await victim.connect();
    const bodies = Array.from({ length: 50 }, (_, n) => short(`${n} ${'y'.repeat(n * n)}`));
    for (const body of bodies) assert.deepEqual(await client.ask(counted(body)), taken);
    victim.arrived(...bodies);
    await client.leave();
  });

  test('fifty pipelined', async () => {
    const client = await victim.connect();
    const bodies = Array.from({ length: 50 }, (_, n) => short(`${n}`));
    void client.write(Buffer.concat(bodies.map(body => counted(body))));
    for (const _ of bodies) assert.deepEqual(await client.outcome(), taken);
    victim.arrived(...bodies);
    await client.leave();
  });
});

describe('bodies that are refused', () => {
  const broken = [400, '550 5.6.0 Bare CR, bare LF or NUL in the message'] as const;
  const unterminated = [400, '550 5.6.0 The message has a line that is a single dot, or no CRLF at its end'] as const;
  const from = `From: ${author}\r\n`;
  const bodies: [name: string, body: string, expected: readonly [number, string]][] = [
    ['nothing', '', [400, '500 5.6.0 Invalid FROM header']],
    ['bare CR', `${from}\r\na\rb\r\n`, broken],
    ['bare LF', `${from}\r\na\nb\r\n`, broken],
    ['NUL', `${from}\r\na\0b\r\n`, broken],
    ['LF line ends', `${from}\r\na\r\n`.replaceAll('\r', ''), broken],
    ['CR CR LF', `${from}\r\na\r\r\n`, broken],
    ['CR at the end', `${from}\r\na\r`, unterminated],
    ['LF at the end', `${from}\r\na\r\n\n`, broken],
    ['no CRLF at the end', `${from}\r\na`, unterminated],
    ['a dot line first', `.\r\n${from}\r\na\r\n`, unterminated],
    ['a dot line between the fields', `${from}.\r\nX: y\r\n\r\na\r\n`, unterminated],
    ['a dot line in the middle', `${from}\r\na\r\n.\r\nb\r\n`, unterminated],
    ['a dot line at the end', `${from}\r\na\r\n.\r\n`, unterminated],
    [
      'a second message behind the dot',
      `${from}\r\na\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<${vic}>\r\nDATA\r\n${from}\r\nb\r\n`,
      unterminated,
    ],
    ['a dot without end', `${from}\r\na\r\n.`, unterminated],
    ['a dot and CR', `${from}\r\na\r\n.\r`, unterminated],
    ['dot, CR, dot', `${from}\r\na\r\n.\r.\r\n`, broken],
    ['dot and LF', `${from}\r\na\r\n.\n`, broken],
    ['LF dot LF', `${from}\r\na\n.\nb\r\n`, broken],
    ['LF dot CRLF', `${from}\r\na\n.\r\nb\r\n`, broken],
    ['CR dot CR', `${from}\r\na\r.\rb\r\n`, broken],
  ];
  for (const [name, body, expected] of bodies) {
    test(name, async () => {
      const octets = Buffer.from(body, 'latin1');
      const client = await victim.connect();
      for (const request of Object.values(forms)) assert.deepEqual(await client.ask(request(octets)), expected);
      for (const octet of chunked([...octets].map(octet => Buffer.from([octet]))))
        void client.write(Buffer.from([octet]));
      assert.deepEqual(await client.outcome(), expected, 'octet by octet');
      assert.deepEqual(await client.ask(counted(short())), taken, 'the connection lives on');
      victim.arrived(short());
      await client.leave();
    });
  }

  test('a dot line at every place of a message', async () => {
    const lines = [`From: ${author}`, 'X: y', '', 'a', '', 'b'];
    const client = await victim.connect();
    for (let at = 0; at <= lines.length; at++) {
      const body = Buffer.from(`${lines.toSpliced(at, 0, '.').join('\r\n')}\r\n`);
      for (const request of Object.values(forms))
        assert.deepEqual(await client.ask(request(body)), unterminated, `line ${at}`);
    }
    await client.leave();
  });
});

describe('too large', () => {
  const body = sized(limit + 1);
  for (const [form, request] of Object.entries(forms)) {
    test(`${form}, by an octet`, async () => assert.deepEqual(await victim.ask(request(body)), tooLarge));
  }

  test('told before the body is sent', async () => {
    for (const length of [limit + 1, 1e9, 2 ** 53 - 1]) {
      const client = await victim.connect();
      assert.deepEqual(await client.ask(countedHead(length)), tooLarge);
      client.reset();
      await client.closed;
    }
  });

  test('chunks without end', async () => {
    const client = await victim.connect();
    void client.write(chunkedHead());
    const part = Buffer.from(`2000\r\n${'z'.repeat(0x2000)}\r\n`);
    let answered = false;
    const answer = client.outcome().finally(() => (answered = true));
    while (!answered) {
      await client.write(part);
      await turn();
    }
    assert.deepEqual(await answer, tooLarge);
    client.reset();
    await client.closed;
  });
});

describe('a refusal is heard by a client that goes on sending', () => {
  const large = Buffer.alloc(5_000_000, 'zzzzzzzz\r\n');
  const ways: [name: string, Head][] = [
    ['that stays', {}],
    ['that said Connection: close', { lines: ['Connection: close'] }],
    ['of HTTP/1.0', { version: '1.0' }],
    ['that did not wait for 100', { lines: ['Expect: 100-continue'] }],
  ];
  for (const [name, options] of ways) {
    test(`one ${name}`, async () => {
      const cases = [
        [counted(large, options), 413],
        [counted(large, { ...options, to: [] }), 400],
        [counted(large, { ...options, method: 'PUT' }), 405],
        ...(options.version === '1.0' ? [] : ([[chunked([large], options), 413]] as const)),
      ] as const;
      for (const [request, status] of cases) {
        const client = await victim.connect();
        const written = client.write(request);
        let answer = await client.answer();
        if (answer?.status === 100) answer = await client.answer();
        assert.equal(answer?.status, status, `instead of ${status}: ${client.broken}`);
        await written;
        client.reset();
        await client.closed;
      }
    });
  }
});

describe('replies of the next hop', () => {
  afterEach(() => void (victim.hop.answer = () => undefined));

  const replies: [reply: string, expected: readonly [number, string]][] = [
    ['550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three', [400, '550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three']],
    ['552 5.2.2 Mailbox full', [400, '552 5.2.2 Mailbox full']],
    ['552 5.3.4 Message size exceeds fixed limit', [413, '552 5.3.4 Message size exceeds fixed limit']],
    ['451 4.3.0 later', [400, '451 4.3.0 later']],
    ['421 4.3.2 closing', [400, '451 4.3.2 closing']],
    ['250-2.0.0 one\r\n250 2.0.0 two', [200, '250-2.0.0 one\r\n250 2.0.0 two']],
  ];
  for (const [reply, expected] of replies) {
    test(reply, async () => {
      victim.hop.answer = ({ verb }) => (verb === 'message' ? reply : undefined);
      assert.deepEqual(await victim.ask(counted(short())), expected);
      victim.arrived(...(expected[0] === 200 ? [short()] : []));
    });
  }

  test('one refused recipient refuses the message', async () => {
    victim.hop.answer = ({ line }) => (line.startsWith('RCPT TO:<b@') ? '550 5.1.1 unknown' : undefined);
    assert.deepEqual(await victim.ask(counted(short(), { to: ['a@one.test', 'b@one.test', 'c@one.test'] })), [
      400,
      '550 5.1.1 unknown',
    ]);
  });
});

test('the envelope arrives as the headers say, the author as sender or nobody', async () => {
  const odd = ['"a, b"@one.test', 'x\\,y@one.test', '"<>"@one.test', "[1]{'z}@one.test"];
  const sent = sealed({ from: author });
  assert.deepEqual(await victim.ask(counted(sent, { to: [vic, `v+w@one.test, ${odd[0]}`, ...odd.slice(1)] })), taken);
  assert.deepEqual(await victim.ask(counted(sent, { from: 'other@c.test' })), taken);
  const [first, second] = victim.hop.take();
  const paths = (commands: readonly string[] = []) =>
    commands.map(line => /:(<.*>)/.exec(line)?.[1]).filter(path => path);
  assert.deepEqual(
    paths(first?.commands),
    [author, vic, 'v+w@one.test', ...odd].map(address => `<${address}>`),
  );
  assert.deepEqual(paths(second?.commands), ['<>', `<${vic}>`]);
});

test('a thousand recipients, and one more', async () => {
  const to = Array.from({ length: 1000 }, (_, n) => `r${n}@one.test`);
  assert.deepEqual(await victim.ask(counted(short(), { to })), taken);
  const [delivery] = victim.hop.take();
  assert.deepEqual(
    delivery?.commands.filter(line => line.startsWith('RCPT')),
    to.map(address => `RCPT TO:<${address}>`),
  );
  assert.deepEqual(await victim.ask(counted(short(), { to: [...to, vic] })), [400, '452 4.5.3 Too many recipients']);
  assert.equal((await victim.ask(head({ to: [] })))?.[0], 400);
});

test('after all this it is as good as new', () => victim.unharmed());
