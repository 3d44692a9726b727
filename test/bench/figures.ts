// From samples to figures: medians, and ratios of measurements made in the same round, which a machine that slows down in between spoils least.

import type { Sample } from './sample.ts';
import type { Scenario } from './scenarios.ts';
import type { Subject } from './subjects.ts';

/** The samples of one row; the n-th of each subject were made in the same round. */
export interface Row {
  readonly scenario: Scenario;
  readonly octets: number;
  readonly samples: Readonly<Partial<Record<Subject, readonly Sample[]>>>;
  /** What others used of the cores just before each measurement, from 0 to 1. */
  readonly othersBusy: readonly number[];
}

export interface Figures {
  readonly messagesPerSecond: number;
  /** Largest difference between two rounds, as a part of the median. */
  readonly spread: number;
  readonly megabytesPerSecond: number;
  readonly ofStraight: number;
  readonly cpuMs?: number;
  readonly cpuMsPerMB?: number;
  readonly cpuOfHaproxy?: number;
  readonly messagesPerCpuSecond?: number;
  /** Messages per CPU second, of those of Postfix's smtp(8) as it is by default. */
  readonly ofPostfix?: number;
  readonly peakMB?: number;
  readonly startPeakMB?: number;
  readonly socketsKept?: number;
  readonly socketsLater?: number;
}

export function rowFigures(row: Row, subject: Subject): Figures {
  const samples = row.samples[subject] ?? [];
  const rates = samples.map(sample => sample.messagesPerSecond);
  const rate = median(rates);
  const sockets = samples.flatMap(sample => sample.sockets ?? []);
  const later = sockets.flatMap(({ twoMinutesLater }) => twoMinutesLater ?? []);
  const speed = {
    messagesPerSecond: rate,
    spread: (Math.max(...rates) - Math.min(...rates)) / rate,
    megabytesPerSecond: (rate * row.octets) / 1e6,
    ofStraight: median(
      rates.map((one, round) => one / (row.samples.straight?.[round]?.messagesPerSecond ?? Number.NaN)),
    ),
    ...(sockets.length > 0 && { socketsKept: Math.max(...sockets.map(({ kept }) => kept)) }),
    ...(later.length > 0 && { socketsLater: Math.max(...later) }),
  };
  const used = samples.flatMap(sample => sample.process ?? []);
  if (used.length === 0) return speed;
  const cpuOf = (other: Subject, round: number) => row.samples[other]?.[round]?.process?.cpuMs ?? Number.NaN;
  const peaks = used.flatMap(one => one.peakMB ?? []);
  const cpuMs = median(used.map(one => one.cpuMs));
  return {
    ...speed,
    cpuMs,
    cpuMsPerMB: (cpuMs / row.octets) * 1e6,
    cpuOfHaproxy: median(used.map((one, round) => one.cpuMs / cpuOf('haproxy', round))),
    messagesPerCpuSecond: 1000 / cpuMs,
    ofPostfix: median(used.map((one, round) => cpuOf('postfix', round) / one.cpuMs)),
    ...(peaks.length > 0 && {
      peakMB: Math.max(...peaks),
      startPeakMB: Math.max(...used.flatMap(one => one.startPeakMB ?? [])),
    }),
  };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}
