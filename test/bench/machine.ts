// What the figures were made on, and how much of it others were using meanwhile.

import { execFileSync } from 'node:child_process';
import { cpus, release } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Programs } from './programs.ts';

/** Of all cores, from 0 to 1. Asked while the bench itself is idle, it is what others use. */
export async function busyShare(): Promise<number> {
  const before = cpuTime();
  await sleep(250);
  const after = cpuTime();
  return 1 - (after.idle - before.idle) / (after.all - before.all);
}

function cpuTime(): { idle: number; all: number } {
  const times = cpus().map(cpu => cpu.times);
  const all = times.flatMap(time => Object.values(time)).reduce((sum, time) => sum + time, 0);
  return { idle: times.reduce((sum, time) => sum + time.idle, 0), all };
}

export function describeMachine(programs?: Programs): string {
  const machine = `${cpus().length} cores (${cpus()[0]?.model}), Linux ${release()}, Node ${process.versions.node}`;
  if (programs === undefined) return machine;
  const haproxy = execFileSync(programs.haproxy, ['-v'], { encoding: 'latin1' }).split(' ', 3)[2];
  return `${machine}, HAProxy ${haproxy}`;
}
