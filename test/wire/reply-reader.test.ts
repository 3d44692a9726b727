import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bareReply, type Reply } from '../../src/wire/reply.ts';
import { type ReplyFault, ReplyReader } from '../../src/wire/reply-reader.ts';
import { cuts, describeCut, pieces } from './cuts.ts';

function read(chunks: Iterable<string>): { replies: Reply[]; fault: ReplyFault | null; midReply: boolean } {
  const reader = new ReplyReader();
  const replies: Reply[] = [];
  for (const chunk of chunks) replies.push(...reader.feed(chunk));
  return { replies, fault: reader.fault, midReply: reader.midReply };
}

const ok = bareReply(250, 'ok');

const complete: [wire: string, ...replies: Reply[]][] = [
  [''],
  ['250 ok\r\n', ok],
  ['250 ok\n', ok],
  ['250\r\n', bareReply(250, '')],
  ['250 \r\n', bareReply(250, '')],
  ['250-\r\n250-\r\n250\r\n', bareReply(250, '', '', '')],
  ['250-a\r\n250-b c\r\n250 d\r\n', bareReply(250, 'a', 'b c', 'd')],
  ['250 ok\r\n250 ok\r\n354 go\r\n', ok, ok, bareReply(354, 'go')],
  ['250-a\n250 b\r\n550 no\n', bareReply(250, 'a', 'b'), bareReply(550, 'no')],
  ['250 ok\r\r\n', bareReply(250, 'ok\r')],
  ['550 a\rb\0c\x1bd\r\n', bareReply(550, 'a\rb\0c\x1bd')],
  ['550  two blanks \r\n', bareReply(550, ' two blanks ')],
  ['550 -x\r\n', bareReply(550, '-x')],
  ['550-250 ok\r\n550 x\r\n', bareReply(550, '250 ok', 'x')],
  ['550 \xa0\xc3\xa4\xff\x85\r\n', bareReply(550, '\xa0\xc3\xa4\xff\x85')],
  ['200 a\r\n', bareReply(200, 'a')],
  ['599 a\r\n', bareReply(599, 'a')],
];

test('replies, however they are cut', () => {
  for (const [wire, ...replies] of complete) {
    for (const chunks of cuts(wire)) {
      assert.deepEqual(read(chunks), { replies, fault: null, midReply: false }, describeCut(chunks));
    }
  }
});

test('a reply that has not ended', () => {
  for (const wire of ['2', '250', '250 ok', '250 ok\r', '250-a\r\n', '250-a\r\n250']) {
    for (const chunks of cuts(wire)) {
      assert.deepEqual(read(chunks), { replies: [], fault: null, midReply: true }, describeCut(chunks));
    }
  }
});

test('what is no reply is a fault, and nothing is read behind it', () => {
  const lines = [
    '',
    'ok',
    ' 250 ok',
    '25',
    '25 ok',
    '2500 ok',
    '250\tok',
    '250+ok',
    '250\xa0ok',
    '+250 ok',
    '0250 ok',
    '2\x000 ok',
    '\xb250 ok',
    '000 ok',
    '100 wait',
    '199 wait',
    '600 what',
    '999 what',
    'HTTP/1.1 400 Bad Request',
    '\x16\x03\x01\x02\0',
  ];
  for (const line of lines) {
    for (const chunks of cuts(`250 ok\r\n${line}\r\n250 ok\r\n`)) {
      const { replies, fault } = read(chunks);
      assert.deepEqual([replies, fault], [[ok], 'not an SMTP reply'], describeCut(chunks));
    }
  }
});

test('the lines of one reply have one code', () => {
  for (const chunks of cuts('250-a\r\n550 b\r\n250 c\r\n')) {
    const { replies, fault } = read(chunks);
    assert.deepEqual([replies, fault], [[], 'not an SMTP reply'], describeCut(chunks));
  }
});

test('a reply has at most 200 lines', () => {
  const lines = (count: number) => `${'250-a\r\n'.repeat(count - 1)}250 z\r\n`;
  for (const size of [1, 7, 64, 100_000]) {
    assert.equal(read(pieces(lines(200), size)).replies[0]?.lines.length, 200);
    assert.deepEqual(read(pieces(lines(201), size)).fault, 'reply too long');
    assert.deepEqual(read(pieces(lines(10_000), size)).fault, 'reply too long');
    // The count is of one reply, not of the connection.
    assert.equal(read(pieces(lines(200).repeat(5), size)).replies.length, 5);
  }
});

test('a reply has at most 64 KiB, in one line or in many', () => {
  const oneLine = (octets: number) => `250 ${'x'.repeat(octets - 6)}\r\n`;
  const many = (octets: number) => `250-${'x'.repeat(994)}\r\n`.repeat(64) + oneLine(octets - 64_000);
  for (const wire of [oneLine, many]) {
    for (const size of [1, 1000, 65_536, 200_000]) {
      assert.deepEqual(read(pieces(wire(65_536), size)).replies.length, 1);
      assert.deepEqual(read(pieces(`${wire(65_536)}${wire(65_536)}`, size)).replies.length, 2);
      const { replies, fault } = read(pieces(wire(65_537), size));
      assert.deepEqual([replies, fault], [[], 'reply too long']);
    }
  }
});

test('8 KiB lines are read whole', () => {
  const text = 'y'.repeat(8192);
  assert.deepEqual(read(pieces(`550-${text}\r\n550 ${text}\r\n`, 1000)).replies, [bareReply(550, text, text)]);
});

test('a line without end is given up at 64 KiB, not at its end', () => {
  const reader = new ReplyReader();
  let fed = 0;
  while (reader.fault === null && fed < 1_000_000) {
    reader.feed('2'.repeat(1000));
    fed += 1000;
  }
  assert.deepEqual([reader.fault, fed], ['reply too long', 66_000]);
  assert.deepEqual(reader.feed('\r\n250 ok\r\n'), []);
});
