import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Kept } from '../../demo/kept.ts';
import type { Letter } from '../../demo/messages.ts';
import type { Arrival } from '../../demo/postfix.ts';
import { judge, type Scene } from '../../demo/scene.ts';

const letterOf = (text: string): Letter => ({
  from: 'a@one.example',
  to: ['b@two.example'],
  message: Buffer.from(`Subject: ${text}\r\n\r\n${text}\r\n`),
});
const [letter, second, third] = [letterOf('1'), letterOf('2'), letterOf('3')];

const arrived = ({ from, to, message }: Letter): Arrival => {
  return { at: 'two.example', from, to, message: Buffer.from(message) };
};
const arrival = arrived(letter);
const other = Buffer.from('Subject: 1\r\n\r\n1\r\n\r\n');
const changed: Arrival = { ...arrival, message: other };
const nobody: Arrival = { ...arrival, from: '' };

const send = () => assert.fail('nothing is sent to be judged');
const passes: Scene = { sent: 'one', letters: [letter], send, replies: [{ reply: '250 …', times: 1 }], arrive: 1 };
const forwarded: Scene = { ...passes, arriveAs: { from: '' } };
const elsewhere: Scene = { ...passes, arriveAs: { at: 'three.example' } };
const there: Arrival = { ...arrival, at: 'three.example' };
const withoutSecond: Scene = {
  ...passes,
  letters: [{ ...letter, to: ['b@two.example', 'c@two.example'] }],
  arriveAs: { to: letter.to },
};
const limited: Scene = {
  sent: 'three',
  letters: [letter, second, third],
  send,
  replies: [
    { reply: '250 …', times: 1 },
    { reply: '450 4.7.1: [too] much, retry in … s', times: 2 },
  ],
  arrive: 1,
};
const [ok, late] = ['250 2.0.0 Ok', '450 4.7.1: [too] much, retry in 9 s'];

for (const [name, scene, replies, arrivals, told, expected] of [
  ['accepted and arrived', passes, [ok], [arrival], 'the same octets', true],
  ['accepted and lost', passes, [ok], [], 'nothing', false],
  ['accepted and changed', passes, [ok], [changed], '0 unchanged, 1 NOT AS SENT', false],
  ['from somebody else', passes, [ok], [nobody], '0 unchanged, 1 NOT AS SENT', false],
  ['from nobody, as it must', forwarded, [ok], [nobody], 'the same octets from <>', true],
  ['from somebody instead of nobody', forwarded, [ok], [arrival], '0 unchanged, 1 NOT AS SENT', false],
  ['elsewhere, as it must', elsewhere, [ok], [there], 'the same octets at three.example', true],
  ['not where it must', elsewhere, [ok], [arrival], '0 unchanged, 1 NOT AS SENT', false],
  ['to one of two, as it must', withoutSecond, [ok], [arrival], 'the same octets to <b@two.example>', true],
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
    const { found, asExpected } = await judge(scene, replies, { arrivals, kept: [] });
    assert.deepEqual([found, asExpected], [[told], expected]);
  });
}

const refused: Scene = { ...passes, replies: [{ reply: '554 …', times: 1 }], arrive: 0, keep: 1 };
const file = { path: 'rejected/1.eml', message: Buffer.from(letter.message) };
const changedFile = { path: 'rejected/2.eml', message: other };

for (const [name, scene, kept, told, expected] of [
  ['as it must be', refused, [file], ['kept, the same octets:', file.path], true],
  ['not at all', refused, [], [], false],
  ['changed', refused, [changedFile], ['kept, NOT AS SENT:', changedFile.path], false],
  ['beside another', refused, [file, changedFile], ['kept, NOT AS SENT:', file.path, changedFile.path], false],
  ['for no reason', { ...refused, keep: 0 }, [file], ['kept, the same octets:', file.path], false],
] as const satisfies [string, Scene, Kept[], string[], boolean][]) {
  test(`a refused message is kept ${name}`, async () => {
    const { found, asExpected } = await judge(scene, ['554 5.7.1 No'], { arrivals: [], kept });
    assert.deepEqual([found, asExpected], [['nothing', ...told], expected]);
  });
}

const traces = { arrivals: [arrival], kept: [] };

test('equal replies are counted', async () => {
  const { replies } = await judge(limited, [late, ok, late], traces);
  assert.deepEqual(replies, [`1 x ${ok}`, `2 x ${late}`]);
});

test('different replies stand as they came', async () => {
  const { replies } = await judge(limited, [late, ok], traces);
  assert.deepEqual(replies, [late, ok]);
});

test('what arrived has to be readable', async () => {
  const read = async () => 'bob reads "1"';
  const unreadable = () => Promise.reject(new Error('wrong key'));
  const good = await judge({ ...passes, read }, [ok], traces);
  const bad = await judge({ ...passes, read: unreadable }, [ok], traces);
  assert.deepEqual([good.found, good.asExpected], [['the same octets', 'bob reads "1"'], true]);
  assert.deepEqual([bad.found, bad.asExpected], [['the same octets', 'it cannot be read'], false]);
});
