// What the three modes take while nothing happens. Shared pages count once: the program itself, which all of them run.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as after } from 'node:timers/promises';
import { Binary } from './binary.ts';
import { Site } from './site.ts';

/** 114 were measured; without a compile cache, or with another kernel, it may be some more. */
const mostMegabytes = 160;

test(`idle, all three modes together have at most ${mostMegabytes} MB`, async () => {
  const site = await Site.make(1);
  const modes = ['outgoing', 'incoming', 'transport'] as const;
  const filters = await Promise.all(modes.map(mode => Binary.serve(site, {}, mode)));
  await after(1000);
  const each = filters.map(({ pid }) => pss(pid));
  await Promise.all(filters.map(filter => filter.stop()));
  const sum = each.reduce((total, one) => total + one, 0);
  assert.ok(sum > 30 && sum <= mostMegabytes, each.map(one => one.toFixed(1)).join(' + '));
});

function pss(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  return Number(/^Pss:\s*(\d+) kB$/m.exec(rollup)?.[1]) / 1024;
}
