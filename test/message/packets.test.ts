import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PacketFault, PacketWalker } from '../../src/message/packets.ts';
import { readInAllCuts } from './cuts.ts';
import { oldPacket, opaque, packet, partialPacket, pkesk, seipd, skesk } from './samples.ts';

function walk(pieces: readonly string[]): PacketFault | null {
  const walker = new PacketWalker();
  for (const piece of pieces) walker.feed(Buffer.from(piece, 'latin1'));
  walker.end();
  return walker.fault;
}

const encrypted: [name: string, octets: string][] = [
  ['SEIPD alone', seipd],
  ['PKESK and SEIPD', pkesk + seipd],
  ['SKESK and SEIPD', skesk + seipd],
  ['many keys and passwords in any order', skesk + pkesk.repeat(300) + skesk + pkesk + seipd],
  ['SEIPD with one length octet', packet(18, opaque(191))],
  ['the shortest two-octet length', packet(18, opaque(192), 2)],
  ['the longest two-octet length', packet(18, opaque(8383), 2)],
  ['the shortest five-octet length as it is written', packet(18, opaque(8384), 5)],
  ['a five-octet length that would fit in one', packet(18, opaque(100), 5)],
  ['SEIPD of 70,000 octets', packet(18, opaque(70_000))],
  ['PKESK with two and five length octets', packet(1, opaque(268), 2) + packet(1, opaque(268), 5) + seipd],
  ['PKESK in the old format, one octet', oldPacket(1, opaque(94), 0) + seipd],
  ['PKESK in the old format, two octets', oldPacket(1, opaque(268), 1) + seipd],
  ['PKESK in the old format, four octets', oldPacket(1, opaque(268), 2) + seipd],
  ['SKESK in the old format', oldPacket(3, opaque(13), 0) + oldPacket(3, opaque(13), 1) + seipd],
  ['first chunk of 512', partialPacket(18, [512], 100)],
  ['chunks of 8192', pkesk + partialPacket(18, [8192, 8192, 8192], 77)],
  ['later chunks of any size', partialPacket(18, [512, 1, 2, 256, 1], 1)],
  ['a last chunk of no octets', partialPacket(18, [512], 0)],
  ['a last chunk with two length octets', partialPacket(18, [1024], 1000)],
  ['a last chunk with five length octets', partialPacket(18, [1024], 9000)],
  ['10,000 chunks of one octet', partialPacket(18, [512, ...Array.from({ length: 10_000 }, () => 1)], 1)],
];

const compressed = packet(8, opaque(100));
const literal = packet(11, `b\0\0\0\0\0${'readable '.repeat(20)}`);
const signature = packet(2, opaque(100));
const padding = packet(21, 'readable');
const marker = packet(10, 'PGP');

const faulty: [name: string, octets: string, fault: PacketFault][] = [
  ['nothing', '', 'no encrypted data'],
  ['keys only', pkesk + skesk, 'no encrypted data'],
  ['text', 'Hello, this is readable', 'no packet header'],
  ['a zero octet', '\0', 'no packet header'],
  ['an octet without the high bit between packets', `${pkesk}\x52${seipd}`, 'no packet header'],
  ['a literal packet', literal, 'packet type'],
  ['a literal packet after the keys', pkesk + literal, 'packet type'],
  ['a compressed packet', compressed, 'packet type'],
  ['a signature', signature, 'packet type'],
  ['a one-pass signature', packet(4, opaque(13)), 'packet type'],
  ['a public key', packet(6, opaque(51)), 'packet type'],
  ['a secret key', packet(5, opaque(51)), 'packet type'],
  ['encrypted data without integrity (type 9)', pkesk + packet(9, opaque(100)), 'packet type'],
  ['OCB encrypted data (type 20)', pkesk + packet(20, opaque(100)), 'packet type'],
  ['the reserved type 0', packet(0, opaque(10)) + seipd, 'packet type'],
  ['a type of the future', packet(63, opaque(10)) + seipd, 'packet type'],
  ['a literal packet in the old format', oldPacket(11, opaque(10), 0), 'packet type'],
  ['a compressed packet of indeterminate length', oldPacket(8, opaque(100), 3), 'packet type'],
  // 18 is 0x12: four bits of an old-format header would make it 2, a signature.
  [
    'SEIPD as the old format would spell it',
    String.fromCharCode(0x80 | ((18 & 0x0f) << 2)) + opaque(20),
    'packet type',
  ],
  ['padding before', padding + pkesk + seipd, 'packet type'],
  ['padding between', pkesk + padding + seipd, 'packet type'],
  ['a marker before', marker + seipd, 'packet type'],
  ['a marker between', pkesk + marker + seipd, 'packet type'],
  ['a user ID between', pkesk + packet(13, 'readable') + seipd, 'packet type'],
  ['trust between', pkesk + packet(12, 'readable') + seipd, 'packet type'],
  ['padding behind', seipd + padding, 'octets after the encrypted data'],
  ['a marker behind', seipd + marker, 'octets after the encrypted data'],
  ['a literal packet behind', seipd + literal, 'octets after the encrypted data'],
  ['a compressed packet behind', seipd + compressed, 'octets after the encrypted data'],
  ['a signature behind', seipd + signature, 'octets after the encrypted data'],
  ['a key behind', seipd + pkesk, 'octets after the encrypted data'],
  ['an MDC packet behind', seipd + packet(19, opaque(20)), 'octets after the encrypted data'],
  ['two SEIPD', seipd + seipd, 'octets after the encrypted data'],
  ['an octet behind', `${seipd}\0`, 'octets after the encrypted data'],
  ['text behind', `${seipd}readable`, 'octets after the encrypted data'],
  ['text behind partial chunks', `${partialPacket(18, [512], 1)}readable`, 'octets after the encrypted data'],
  ['SEIPD short by one', seipd.slice(0, -1), 'packet length'],
  ['SEIPD short by one in the last chunk', partialPacket(18, [512], 9).slice(0, -1), 'packet length'],
  ['no last chunk', partialPacket(18, [512], 0).slice(0, -1), 'packet length'],
  ['a partial chunk cut off', partialPacket(18, [512], 0).slice(0, 300), 'packet length'],
  ['PKESK that overruns the data', packet(1, opaque(94)).slice(0, 50), 'packet length'],
  ['a header and no length', '\xd2', 'packet length'],
  ['half a two-octet length', '\xd2\xc0', 'packet length'],
  ['half a five-octet length', '\xd2\xff\0\0', 'packet length'],
  ['half an old length', '\x85\x01', 'packet length'],
  ['a length of 4 GiB', '\xd2\xff\xff\xff\xff\xff'.padEnd(1000, 'x'), 'packet length'],
  ['a PKESK of 4 GiB', `${'\xc1\xff\xff\xff\xff\xff'}${seipd}`, 'packet length'],
  ['a PKESK of indeterminate length', oldPacket(1, opaque(94), 3) + seipd, 'packet length'],
  ['an SKESK of indeterminate length', oldPacket(3, opaque(13), 3) + seipd, 'packet length'],
  [
    'a PKESK of indeterminate length, as if it had eight length octets',
    `\x87\0\0\0\0\0\0\0\x05abcde${seipd}`,
    'packet length',
  ],
  ['a PKESK of partial chunks', partialPacket(1, [512], 10) + seipd, 'packet length'],
  ['an SKESK of partial chunks', partialPacket(3, [512], 10) + seipd, 'packet length'],
  ['a first chunk of 1', partialPacket(18, [1], 100), 'packet length'],
  ['a first chunk of 256', partialPacket(18, [256, 512], 100), 'packet length'],
  ['a first chunk of 1 GiB', `\xd2\xfe${'x'.repeat(1000)}`, 'packet length'],
];

test('encrypted messages, cut at every offset', async t => {
  for (const [name, octets] of encrypted) await t.test(name, () => assert.equal(readInAllCuts(octets, walk), null));
});

test('anything else, cut at every offset', async t => {
  for (const [name, octets, fault] of faulty)
    await t.test(name, () => assert.equal(readInAllCuts(octets, walk), fault));
});

test('a message cut off anywhere is none', () => {
  const whole = skesk + oldPacket(1, opaque(94), 1) + partialPacket(18, [512, 1], 3);
  for (let at = 0; at < whole.length; at++) assert.notEqual(walk([whole.slice(0, at)]), null, `at ${at}`);
  assert.equal(walk([whole]), null);
});

test('all 256 header octets: only three packets may begin the data', () => {
  const accepted = [];
  for (let octet = 0; octet < 256; octet++) {
    // Followed by a body of no octets in every length encoding but partial, and the encrypted data.
    const fits = ['\0', '\0\0', '\0\0\0\0', '\0'.repeat(8), '\xff\0\0\0\0'].some(length =>
      [walk([String.fromCharCode(octet) + length + seipd]), walk([String.fromCharCode(octet) + length])].includes(null),
    );
    if (fits) accepted.push(octet);
  }
  // Old-format PKESK and SKESK with definite lengths, then the new format of PKESK, SKESK and SEIPD.
  assert.deepEqual(accepted, [0x84, 0x85, 0x86, 0x8c, 0x8d, 0x8e, 0xc1, 0xc3, 0xd2]);
});
