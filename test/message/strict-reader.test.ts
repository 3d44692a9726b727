/** The oracle is only worth something when it is right: it must agree with what the samples are. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  armored,
  armorPart,
  encryptedMail,
  oldPacket,
  opaque,
  packet,
  partialPacket,
  pkesk,
  seipd,
  skesk,
} from './samples.ts';
import { isEncrypted } from './strict-reader.ts';

const mail = (packets: string) => encryptedMail({ second: armorPart(armored(packets)) });

test('the strict reader takes what is encrypted', () => {
  const keys = pkesk + skesk + oldPacket(1, opaque(20), 0) + oldPacket(3, opaque(300), 1) + oldPacket(1, opaque(9), 2);
  for (const packets of [seipd, keys + seipd, packet(18, opaque(9), 5), partialPacket(18, [512, 2], 200)])
    assert.ok(isEncrypted(mail(packets), 'outgoing'));
});

test('the strict reader refuses anything else', () => {
  for (const packets of [
    '',
    keyless(seipd),
    seipd + seipd,
    `${seipd}x`,
    seipd.slice(1),
    seipd.slice(0, -1),
    partialPacket(18, [256], 9),
  ])
    assert.ok(!isEncrypted(mail(packets), 'incoming'));
  for (const text of [
    '',
    'From: me@one.test\r\n\r\nreadable\r\n',
    encryptedMail({ close: '' }),
    encryptedMail({ epilogue: 'x\r\n' }),
  ])
    assert.ok(!isEncrypted(text, 'incoming'));
});

function keyless(octets: string): string {
  return packet(11, octets);
}

test('the strict reader tells the directions apart', () => {
  for (const text of [
    encryptedMail({ preamble: 'This is encrypted\r\n' }),
    encryptedMail({ second: armorPart(armored(seipd, { headers: ['Comment: x'] })) }),
  ]) {
    assert.ok(!isEncrypted(text, 'outgoing'));
    assert.ok(isEncrypted(text, 'incoming'));
  }
});
