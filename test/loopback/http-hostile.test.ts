// Requests that want to be two, to be none, or never to end. What is hidden in a request must not be taken for one.

import assert from 'node:assert/strict';
import { afterEach, before, describe, test } from 'node:test';
import { chunk, chunked, counted, countedHead, head, short, vic } from './http-client.ts';
import { HttpVictim, taken } from './http-victim.ts';

let victim: HttpVictim;

before(async () => {
  victim = await HttpVictim.start({ max_message_size: 100_000 });
});
afterEach(() => victim.arrived());

const outer = short('outer');
const hidden = counted(short('hidden'));
const text = (octets: Buffer) => octets.toString('latin1');

/** The statuses of all answers until the connection ends, or until the request that is sent last has been refused. */
async function statuses(octets: Buffer | string): Promise<number[]> {
  const client = await victim.connect();
  const all = Buffer.concat([Buffer.from(octets as string, 'latin1'), head({ method: 'GET' })]);
  void client.write(all);
  const seen: number[] = [];
  for (;;) {
    const answer = await client.answer();
    if (answer === null) break;
    seen.push(answer.status);
    if (answer.status === 405) break;
  }
  client.reset();
  await client.closed;
  return seen;
}

/** A POST with these header lines instead of Content-Length, and what follows it. */
function odd(lines: readonly string[], behind: Buffer | string): string {
  return text(head({ lines })) + (typeof behind === 'string' ? behind : text(behind));
}

const outerChunks = `${text(chunk(outer))}0\r\n\r\n`;
const length = `Content-Length: ${outer.length}`;
const chunkedCoding = 'Transfer-Encoding: chunked';

describe('two ways to tell the length: 400 and the end', () => {
  const cases: [name: string, octets: string][] = [
    ['both', odd([length, chunkedCoding], outerChunks)],
    ['both, the other way round', odd([chunkedCoding, length], outerChunks)],
    [
      'both, the body ends at once',
      odd([`Content-Length: ${hidden.length + 5}`, chunkedCoding], `0\r\n\r\n${text(hidden)}`),
    ],
    ['chunked in capitals, and a length', odd(['transfer-ENCODING: CHUNKED', length], outerChunks)],
    ['two lengths', odd([length, `Content-Length: ${outer.length + hidden.length}`], outer)],
    ['two lengths, one of them nothing', odd(['Content-Length: 0', length], outer)],
    ['the same length twice', odd([length, length], outer)],
    ['a list of lengths', odd([`${length}, ${outer.length}`], outer)],
    ['a blank before the colon of the length', odd([`Content-Length : ${outer.length}`], outer)],
    ['a blank before the colon of the coding', odd(['Transfer-Encoding : chunked', length], outer)],
    ['a length on a folded line', odd(['X: y', ` ${length}`], hidden)],
    ['a coding on a folded line', odd([length, 'Transfer-Encoding:', ' chunked'], outer)],
  ];
  for (const [name, octets] of cases) {
    test(name, async () => assert.deepEqual(await statuses(octets), [400]));
  }
});

describe('a length that is none: 400 and the end', () => {
  const values = ['-1', '+5', '0x10', '1e3', '5 5', '5;', '5.0', '', ' ', '99999999999999999999999', '\xb2', '5\t5'];
  for (const value of values) {
    test(JSON.stringify(value), async () => {
      assert.deepEqual(await statuses(odd([`Content-Length: ${value}`], outer)), [400]);
    });
  }
});

describe('codings: nothing hidden is taken for a request', () => {
  const codings = [
    'xchunked',
    'chunked, identity',
    'identity',
    '\x0bchunked',
    'chunked, chunked',
    'gzip, chunked',
    ', chunked',
    'chunked,',
    'CHUNKED',
    'chunked\t ',
    '',
  ];
  for (const coding of codings) {
    test(JSON.stringify(coding), async () => {
      const seen = await statuses(odd([`Transfer-Encoding: ${coding}`], outerChunks));
      const delivered = victim.hop.take();
      assert.equal(
        delivered.length,
        seen.filter(status => status === 200).length,
        'acknowledged as often as delivered',
      );
      for (const { octets } of delivered) assert.ok(octets.equals(outer));
      const whole = ['CHUNKED', 'chunked\t ', ', chunked', 'chunked,', 'gzip, chunked'];
      if (!whole.includes(coding)) assert.deepEqual([delivered.length, seen[0]], [0, 400]);
    });
  }

  test('two of them', async () => {
    for (const other of ['identity', 'chunked', 'x']) {
      for (const lines of [
        [chunkedCoding, `Transfer-Encoding: ${other}`],
        [`Transfer-Encoding: ${other}`, chunkedCoding],
      ]) {
        const seen = await statuses(odd(lines, outerChunks));
        const delivered = victim.hop.take();
        assert.equal(
          delivered.length,
          seen.filter(status => status === 200).length,
          'acknowledged as often as delivered',
        );
        for (const { octets } of delivered) assert.ok(octets.equals(outer));
      }
    }
  });

  test('chunked in HTTP/1.0', async () => {
    const octets = text(chunked([outer], { version: '1.0' }));
    const seen = await statuses(octets);
    const delivered = victim.hop.take();
    assert.equal(delivered.length, seen.filter(status => status === 200).length, 'acknowledged as often as delivered');
    for (const { octets } of delivered) assert.ok(octets.equals(outer));
  });
});

describe('chunks that are none: 400, the end, nothing delivered', () => {
  const size = outer.length.toString(16);
  const body = `${text(outer)}\r\n0\r\n\r\n`;
  const cases: [name: string, octets: string][] = [
    ['0x', `0x${size}\r\n${body}`],
    ['a minus', `-${size}\r\n${body}`],
    ['a plus', `+${size}\r\n${body}`],
    ['a blank first', ` ${size}\r\n${body}`],
    ['a blank last', `${size} \r\n${body}`],
    ['a letter', `${size}g\r\n${body}`],
    ['nothing', `\r\n${body}`],
    ['more than 64 bits', `1${'0'.repeat(16)}${size}\r\n${body}`],
    ['a bare LF behind the size', `${size}\n${body}`],
    ['a bare CR behind the size', `${size}\r${body}`],
    ['a bare LF in an extension', `${size};x\n${body}`],
    ['no CRLF behind the chunk', `${size}\r\n${text(outer)}0\r\n\r\n`],
    ['a bare LF behind the chunk', `${size}\r\n${text(outer)}\n0\r\n\r\n`],
    ['a chunk that is longer', `${size}\r\n${text(outer)}xx0\r\n\r\n`],
    ['a bare LF behind the last chunk', `${size}\r\n${text(outer)}\r\n0\n\r\n`],
    ['an extension without end', `${size};${'x'.repeat(70_000)}\r\n${body}`],
  ];
  for (const [name, octets] of cases) {
    test(name, async () => {
      const [status, ...more] = await statuses(text(head({ lines: [chunkedCoding] })) + octets);
      assert.ok(status === 400 || status === 413, `${status}`);
      assert.deepEqual(more, []);
    });
  }
});

describe('header lines that are none', () => {
  const request = text(counted(outer));
  const cases: [name: string, octets: string][] = [
    ['bare LF line ends', request.replace(/\r\n/g, '\n')],
    ['one bare LF', request.replace('Host: one.test\r\n', 'Host: one.test\n')],
    ['one bare CR', request.replace('Host: one.test\r\n', 'Host: one.test\r')],
    ['LF where the blank line should be', request.replace('\r\n\r\n', '\r\n\n')],
    ['a recipient on a folded line', request.replace(vic, 'a@b,\r\n c@d')],
    ['a recipient behind a bare CR', request.replace(vic, `a@b\rX-MAIL-TO: ${vic}`)],
    ['NUL in a recipient', request.replace(vic, `a\0@b`)],
    ['no colon', request.replace('Host:', 'X\r\nHost:')],
    ['a blank before the colon', request.replace('X-MAIL-TO:', 'X-MAIL-TO :')],
    ['a blank first', request.replace('Host:', ' X: y\r\nHost:')],
    ['no Host', request.replace('Host: one.test\r\n', '')],
    ['HTTP/2.0', request.replace('HTTP/1.1', 'HTTP/2.0')],
    ['HTTP/0.9', request.replace(' HTTP/1.1', '')],
    ['HTTP/1.2', request.replace('HTTP/1.1', 'HTTP/1.2')],
    ['a method in lower case', request.replace('POST', 'post')],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['SMTP', 'EHLO client.test\r\nMAIL FROM:<>\r\n'],
  ];
  for (const [name, octets] of cases) {
    test(`${name}: 400, nothing delivered`, async () => {
      const [status, ...more] = await statuses(octets);
      assert.equal(status, 400);
      assert.deepEqual(more, []);
    });
  }

  test('what may stand before a request: blank lines', async () => {
    assert.deepEqual(await statuses(`\r\n\r\n${request}`), [200, 405]);
    victim.arrived(outer);
  });
});

describe('requests in the body of one that is refused', () => {
  const many = Buffer.concat(Array<Buffer>(1000).fill(hidden));
  const cases: [name: string, request: Buffer, status: number][] = [
    ['no recipient', counted(many, { to: [] }), 400],
    ['no recipient, chunked', chunked([many], { to: [] }), 400],
    ['a bad recipient', counted(many, { to: ['<a@b>'] }), 400],
    ['another method', counted(many, { method: 'PUT' }), 405],
    ['GET', counted(many, { method: 'GET' }), 405],
    ['too large', counted(many), 413],
    ['too large, chunked', chunked([many]), 413],
    ['no message', counted(hidden), 400],
  ];
  for (const [name, request, status] of cases) {
    test(name, async () => {
      const client = await victim.connect();
      assert.equal((await client.ask(request))?.[0], status);
      assert.deepEqual(await client.ask(counted(outer)), taken);
      victim.arrived(outer);
      await client.leave();
    });
  }

  test('refused with Expect: the body is not asked for, and nothing of it is taken', async () => {
    const seen = await statuses(Buffer.concat([countedHead(many.length, { lines: ['Expect: 100-continue'] }), many]));
    assert.ok(seen.length <= 1 && [413, undefined].includes(seen[0]), `${seen}`);
  });
});

test('recipients and lengths in trailers do not count', async () => {
  const trailers = `0\r\nX-MAIL-TO: evil@one.test\r\nX-MAIL-FROM: evil@one.test\r\n\r\n`;
  assert.deepEqual(await statuses(odd([chunkedCoding], text(chunk(outer)) + trailers)), [200, 405]);
  const [delivery] = victim.hop.take();
  assert.deepEqual(
    delivery?.commands.filter(line => line.startsWith('RCPT')),
    [`RCPT TO:<${vic}>`],
  );
});

describe('large headers', () => {
  const recipients = (count: number, octets: number) =>
    Array.from({ length: count }, (_, n) => `${`r${n}.`.padEnd(octets - 9, 'x')}@one.test`);

  test('recipients almost up to 64 KiB all arrive', async () => {
    const to = recipients(1000, 49);
    const request = counted(outer, { to });
    assert.ok(request.length > 62_000 && request.length < 65_536, `${request.length}`);
    assert.deepEqual(await victim.ask(request), taken);
    const [delivery] = victim.hop.take();
    assert.deepEqual(
      delivery?.commands.filter(line => line.startsWith('RCPT')),
      to.map(address => `RCPT TO:<${address}>`),
    );
  });

  const line = `X: ${'y'.repeat(995)}`;
  const floods: [name: string, request: Buffer | string][] = [
    ['too many recipients', counted(outer, { to: recipients(990, 60) })],
    ['a header of 70 KiB', counted(outer, { lines: Array<string>(70).fill(line) })],
    ['a header of 5 MB', counted(outer, { lines: Array<string>(5000).fill(line) })],
    ['10,000 lines', counted(outer, { lines: Array<string>(10_000).fill('Abc: defg') })],
    ['one line of 70 KiB', counted(outer, { lines: [`X: ${'y'.repeat(70_000)}`] })],
    ['one line of 5 MB without end', `POST / HTTP/1.1\r\nX: ${'y'.repeat(5_000_000)}`],
    ['a name without end', `POST / HTTP/1.1\r\n${'y'.repeat(5_000_000)}`],
    ['a path without end', `POST /${'y'.repeat(5_000_000)}`],
  ];
  for (const [name, request] of floods) {
    test(`${name}: 431, nothing delivered`, async () => {
      const client = await victim.connect();
      void client.write(request);
      const answer = await client.answer();
      // Who floods may find the connection gone before it has read the answer.
      if (request.length < 1_000_000 || answer !== null) assert.equal(answer?.status, 431, `${client.broken}`);
      client.reset();
      await client.closed;
    });
  }

  test('10,000 short lines are no harm', async () => {
    assert.deepEqual(await victim.ask(counted(outer, { lines: Array<string>(10_000).fill('a:') })), taken);
    victim.arrived(outer);
  });

  test('trailers of 5 MB: nothing delivered', async () => {
    const [status] = await statuses(
      odd([chunkedCoding], `${text(chunk(outer))}0\r\n${`${line}\r\n`.repeat(5000)}\r\n`),
    );
    assert.ok(status === 431 || status === undefined, `${status}`);
  });
});

test('after all this it is as good as new', () => victim.unharmed());
