// The table of starts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Starts, startsTable } from './starts.ts';

const bare: Starts = { title: 'bare', samples: [{ ms: 50 }, { ms: 40 }, { ms: 1000 }] };

function ours(ms: number, mode: Starts['mode'] & string = 'outgoing'): Starts {
  return { title: 'ours', mode, limit: 350, samples: [{ ms, memory: { rssMB: 90.4, privateMB: 40 } }] };
}

/** The cells of each line but the head. */
function cells(...all: Starts[]): string[][] {
  const lines = startsTable(all).split('\n').slice(2);
  return lines.map(line =>
    line
      .split('|')
      .slice(1, -1)
      .map(cell => cell.trim()),
  );
}

test('a line has the median, both ends, and the ratio to the first', () => {
  assert.deepEqual(cells(bare, ours(100)), [
    ['bare', '', '50.0', '40.0', '1000', '1.00', '', '', '', ''],
    ['ours', 'outgoing', '100', '100', '100', '2.00', '90.4', '40.0', '350', 'met'],
  ]);
});

test('a title that repeats is left out', () => {
  assert.deepEqual(
    cells(bare, ours(100), ours(100, 'incoming'), bare).map(([title]) => title),
    ['bare', 'ours', '', 'bare'],
  );
});

test('a target is met below its limit only', () => {
  const verdicts = [349.9, 350, 400].map(ms => cells(bare, ours(ms))[1]?.at(-1));
  assert.deepEqual(verdicts, ['met', 'MISSED', 'MISSED']);
});
