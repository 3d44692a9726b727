// What starts took, and what is told of it.

import { median } from './figures.ts';
import type { Memory } from './processes.ts';
import type { Mode } from './scenarios.ts';
import { markdown, number } from './table.ts';

/** One start. */
export interface Start {
  readonly ms: number;
  /** Of a process that is still there. */
  readonly memory?: Memory;
}

/** The same start several times. */
export interface Starts {
  readonly title: string;
  readonly mode?: Mode;
  /** In milliseconds; the median is to be below it. */
  readonly limit?: number;
  readonly samples: readonly Start[];
}

/** The first of them is what the others are compared with. */
export function startsTable(all: readonly Starts[]): string {
  const bare = all[0] ? medianMs(all[0]) : Number.NaN;
  const head = [
    'start',
    'mode',
    'ms',
    'fastest',
    'slowest',
    `of ${all[0]?.title}`,
    'RSS MB',
    'private MB',
    'below',
    '',
  ];
  const lines = all.map((starts, index) => {
    const { title, mode = '', limit, samples } = starts;
    const ms = medianMs(starts);
    const times = samples.map(sample => sample.ms);
    const memory = samples.flatMap(sample => sample.memory ?? []);
    return [
      title === all[index - 1]?.title ? '' : title,
      mode,
      ...[ms, Math.min(...times), Math.max(...times)].map(number),
      (ms / bare).toFixed(2),
      ...(['rssMB', 'privateMB'] as const).map(kind =>
        memory.length === 0 ? '' : number(median(memory.map(each => each[kind]))),
      ),
      ...(limit === undefined ? ['', ''] : [`${limit}`, ms < limit ? 'met' : 'MISSED']),
    ];
  });
  return markdown(head, lines, 2);
}

function medianMs({ samples }: Starts): number {
  return median(samples.map(({ ms }) => ms));
}
