import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bareReply, describeReply, formatReply, isPositive, type Reply, relayed, reply } from '../../src/wire/reply.ts';

test('the enhanced class follows the code', () => {
  const cases: [number, string][] = [
    [220, '220 2.6.0 text\r\n'],
    [250, '250 2.6.0 text\r\n'],
    [421, '421 4.6.0 text\r\n'],
    [450, '450 4.6.0 text\r\n'],
    [499, '499 4.6.0 text\r\n'],
    [500, '500 5.6.0 text\r\n'],
    [554, '554 5.6.0 text\r\n'],
  ];
  for (const [code, wire] of cases) assert.equal(formatReply(reply(code, '6.0', 'text')), wire);
});

test('wire form', () => {
  const cases: [Reply, string][] = [
    [bareReply(250, 'ok'), '250 ok\r\n'],
    [bareReply(250, ''), '250 \r\n'],
    [bareReply(250, 'a', 'b', 'c'), '250-a\r\n250-b\r\n250 c\r\n'],
    [bareReply(250, '', ''), '250-\r\n250 \r\n'],
    [bareReply(451, 'x\u010d\u010a250 injected'), '451 x??250 injected\r\n'],
    [bareReply(550, 'a\r\nb'), '550 a??b\r\n'],
    [bareReply(550, 'x\r\n.\r\n250 ok'), '550 x??.??250 ok\r\n'],
    [bareReply(550, '\0\t\x1b[2J\x7f'), '550 ???[2J?\r\n'],
    [bareReply(550, '\xa0\x85\xff \xc3\xa4'), '550 \xa0\x85\xff \xc3\xa4\r\n'],
    [bareReply(550, 'trailing  '), '550 trailing  \r\n'],
  ];
  for (const [answer, wire] of cases) assert.equal(formatReply(answer), wire);
});

test('no octet passes that could end or disguise a line', () => {
  for (let octet = 0; octet < 256; octet++) {
    const wire = formatReply(bareReply(550, `a${String.fromCharCode(octet)}b`));
    const kept = octet >= 0x20 && octet !== 0x7f;
    assert.equal(wire, `550 a${kept ? String.fromCharCode(octet) : '?'}b\r\n`);
  }
});

test('a line has at most 512 octets, each line of a reply by itself', () => {
  const full = 'x'.repeat(506);
  for (const [text, kept] of [
    [full.slice(1), full.slice(1)],
    [full, full],
    [`${full}y`, full],
    [`${full}${'y'.repeat(100_000)}`, full],
  ] as const) {
    assert.equal(formatReply(bareReply(550, text)), `550 ${kept}\r\n`);
    assert.equal(formatReply(bareReply(550, text, 'end')), `550-${kept}\r\n550 end\r\n`);
  }
  assert.equal(formatReply(bareReply(550, full)).length, 512);
});

test('2xx is positive, nothing else', () => {
  for (const [code, positive] of [
    [199, false],
    [200, true],
    [250, true],
    [299, true],
    [300, false],
    [354, false],
    [421, false],
    [550, false],
  ] as const) {
    assert.equal(isPositive(bareReply(code, '')), positive, String(code));
  }
});

test("another server's reply as ours", () => {
  const cases: [Reply, Reply][] = [
    [bareReply(250, '2.0.0 ok'), bareReply(250, '2.0.0 ok')],
    [bareReply(450, '4.1.1 a', '4.1.1 b'), bareReply(450, '4.1.1 a', '4.1.1 b')],
    [bareReply(599, 'x'), bareReply(599, 'x')],
    [bareReply(421, '4.7.0 too many errors', 'bye'), bareReply(451, '4.7.0 too many errors', 'bye')],
  ];
  for (const [theirs, ours] of cases) assert.deepEqual(relayed(theirs), ours);
});

test('one line for a log', () => {
  assert.equal(describeReply(bareReply(250, 'ok')), '250 ok');
  assert.equal(describeReply(bareReply(550, '5.1.1 a', '5.1.1 b')), '550 5.1.1 a / 5.1.1 b');
});
