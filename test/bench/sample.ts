// What one measurement gives.

import type { Program } from './processes.ts';

export interface Sample {
  readonly messagesPerSecond: number;
  /** Of the process under test; absent when there is none. */
  readonly process?: ProcessSample;
  readonly sockets?: SocketSample;
}

interface ProcessSample {
  /** CPU time a message. */
  readonly cpuMs: number;
  /** Peak resident memory, MB: under load, and before it (start and warm-up). Absent for many processes that share memory. */
  readonly peakMB?: number;
  readonly startPeakMB?: number;
}

/** Beyond those it had before the first message. */
interface SocketSample {
  readonly kept: number;
  /** Absent when nobody waited for that. */
  readonly twoMinutesLater?: number;
}

export async function watched(program: Program, messages: number, timed: () => Promise<number>): Promise<Sample> {
  const startPeakMB = program.peakMB();
  program.resetPeak();
  const cpuBefore = program.cpuMs();
  const messagesPerSecond = await timed();
  const cpuMs = (program.cpuMs() - cpuBefore) / messages;
  return { messagesPerSecond, process: { cpuMs, peakMB: program.peakMB(), startPeakMB } };
}
