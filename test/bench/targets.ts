// What the filter is to reach, as ratios, because the machines differ.

import type { Figures } from './figures.ts';

export interface Target {
  readonly text: string;
  readonly atLeast?: number;
  readonly atMost?: number;
  /** The rows it needs, by name, and the value it makes of the filter's figures there. */
  readonly rows: readonly string[];
  readonly value: (...rows: readonly Figures[]) => number | undefined;
}

const peakMB = (row?: Figures) => row && Math.max(row.peakMB ?? Number.NaN, row.startPeakMB ?? Number.NaN);
const ofStraight = (row?: Figures) => row?.ofStraight;
const ofPostfix = (row?: Figures) => (Number.isNaN(row?.ofPostfix) ? undefined : row?.ofPostfix);
const cpuOfHaproxy = (row?: Figures) => row?.cpuOfHaproxy;

export const targets: readonly Target[] = [
  { rows: ['9k'], text: '9 kB: messages/s of straight', atLeast: 0.35, value: ofStraight },
  { rows: ['9k'], text: '9 kB: CPU of HAProxy', atMost: 2.2, value: cpuOfHaproxy },
  { rows: ['9k-single'], text: '9 kB, one at a time: messages/s of straight', atLeast: 0.35, value: ofStraight },
  { rows: ['1M'], text: '1 MB: messages/s of straight', atLeast: 0.9, value: ofStraight },
  { rows: ['1M'], text: '1 MB: CPU of HAProxy', atMost: 4, value: cpuOfHaproxy },
  { rows: ['30M'], text: '30 MB: messages/s of straight', atLeast: 0.8, value: ofStraight },
  { rows: ['30M'], text: '30 MB: CPU of HAProxy', atMost: 5, value: cpuOfHaproxy },
  { rows: ['30M'], text: '30 MB: peak RSS, start included, MB', atMost: 150, value: peakMB },
  {
    rows: ['1M', '30M'],
    text: 'CPU a MB at 30 MB of that at 1 MB',
    atMost: 1.5,
    value: (small, large) => (large?.cpuMsPerMB ?? Number.NaN) / (small?.cpuMsPerMB ?? Number.NaN),
  },
  { rows: ['in-9k'], text: 'incoming, 9 kB: messages/s of straight', atLeast: 0.28, value: ofStraight },
  { rows: ['in-9k'], text: 'incoming, 9 kB: CPU of HAProxy', atMost: 3.2, value: cpuOfHaproxy },
  { rows: ['in-1M'], text: 'incoming, 1 MB: CPU of HAProxy', atMost: 5, value: cpuOfHaproxy },
  { rows: ['in-30M'], text: 'incoming, 30 MB: CPU of HAProxy', atMost: 6, value: cpuOfHaproxy },
  { rows: ['in-30M'], text: 'incoming, 30 MB: peak RSS, start included, MB', atMost: 150, value: peakMB },
  {
    rows: ['in-9k', 'http-9k'],
    text: '/mxdeliv, 9 kB: messages/s of the same over SMTP',
    atLeast: 1,
    value: (smtp, http) => (http?.messagesPerSecond ?? Number.NaN) / (smtp?.messagesPerSecond ?? Number.NaN),
  },
  { rows: ['out-https-9k'], text: 'HTTPS out: messages per CPU second of Postfix', atLeast: 1, value: ofPostfix },
  { rows: ['out-smtp-9k'], text: 'SMTP out: messages per CPU second of Postfix', atLeast: 1, value: ofPostfix },
  { rows: ['out-many'], text: 'to 1,000 domains: peak RSS, start included, MB', atMost: 200, value: peakMB },
  { rows: ['out-many'], text: 'to 1,000 domains: sockets 2 minutes later', atMost: 0, value: row => row?.socketsLater },
  { rows: ['out-30M-20'], text: '30 MB to 20 domains: peak RSS, start included, MB', atMost: 150, value: peakMB },
];

export function isMet(target: Target, value: number): boolean {
  return value >= (target.atLeast ?? Number.NEGATIVE_INFINITY) && value <= (target.atMost ?? Number.POSITIVE_INFINITY);
}
