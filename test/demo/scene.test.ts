import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Letter } from '../../demo/messages.ts';
import type { Arrival } from '../../demo/postfix.ts';
import { judge, type Scene } from '../../demo/scene.ts';

const [letter, second, third] = ['1', '2', '3'].map(text => ({
  from: 'a@one.example',
  to: 'b@two.example',
  message: Buffer.from(`Subject: ${text}\r\n\r\n${text}\r\n`),
})) as [Letter, Letter, Letter];

const arrived = ({ from, to, message }: Letter): Arrival => ({ from, to: [to], message: Buffer.from(message) });
const arrival = arrived(letter);
const changed: Arrival = { ...arrival, message: Buffer.from('Subject: 1\r\n\r\n1\r\n\r\n') };

const passes: Scene = { sent: 'one', letters: [letter], replies: [{ reply: '250 …', times: 1 }], arrive: 1 };
const limited: Scene = {
  sent: 'three',
  letters: [letter, second, third],
  replies: [
    { reply: '250 …', times: 1 },
    { reply: '450 4.7.1: [too] much, retry in … s', times: 2 },
  ],
  arrive: 1,
};
const [ok, late] = ['250 2.0.0 Ok', '450 4.7.1: [too] much, retry in 9 s'];

for (const [name, scene, replies, arrivals, told, asExpected] of [
  ['accepted and arrived', passes, [ok], [arrival], 'the same octets', true],
  ['accepted and lost', passes, [ok], [], 'nothing', false],
  ['accepted and changed', passes, [ok], [changed], '0 unchanged, 1 NOT AS SENT', false],
  ['from somebody else', passes, [ok], [{ ...arrival, from: '' }], '0 unchanged, 1 NOT AS SENT', false],
  ['to somebody else', passes, [ok], [{ ...arrival, to: ['c@two.example'] }], '0 unchanged, 1 NOT AS SENT', false],
  ['arrived twice', passes, [ok], [arrival, arrival], '0 unchanged, 2 NOT AS SENT', false],
  ['refused and arrived', passes, ['550 5.0.0 No'], [arrival], 'the same octets', false],
  ['refused', passes, ['550 5.0.0 No'], [], 'nothing', false],
  ['another text before the code', passes, ['no reply: 250 Ok'], [arrival], 'the same octets', false],
  ['as many as allowed', limited, [late, ok, late], [arrival], 'the same octets', true],
  ['more than allowed', limited, [ok, ok, late], [arrival, arrived(second)], '2, the same octets', false],
  ['another refusal', limited, [ok, late, '450 4.7.1: t much, retry in 9 s'], [arrival], 'the same octets', false],
] as const satisfies [string, Scene, string[], Arrival[], string, boolean][]) {
  test(`a scene: ${name}`, async () => {
    const outcome = await judge(scene, replies, arrivals);
    assert.equal(outcome.arrived, told);
    assert.equal(outcome.asExpected, asExpected);
  });
}

test('equal replies are counted', async () => {
  const { replies } = await judge(limited, [late, ok, late], [arrival]);
  assert.deepEqual(replies, [`1 x ${ok}`, `2 x ${late}`]);
});

test('what arrived has to be readable', async () => {
  const read = async () => 'bob reads "1"';
  const unreadable = () => Promise.reject(new Error('wrong key'));
  const good = await judge({ ...passes, read }, [ok], [arrival]);
  const bad = await judge({ ...passes, read: unreadable }, [ok], [arrival]);
  assert.deepEqual([good.arrived, good.asExpected], ['the same octets; bob reads "1"', true]);
  assert.deepEqual([bad.arrived, bad.asExpected], ['the same octets; it cannot be read', false]);
});
