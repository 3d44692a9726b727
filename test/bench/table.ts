// The report: Markdown tables, ready for the README.

import { type Figures, type Row, rowFigures } from './figures.ts';
import { isMet, targets } from './targets.ts';

export function figuresTable(rows: readonly Row[]): string {
  const head = [
    'messages',
    'through',
    'messages/s',
    'spread',
    'MB/s',
    'of straight',
    'CPU ms each',
    'CPU of HAProxy',
    'peak RSS MB',
    'before load',
  ];
  return markdown(head, linesOf(rows, cells), 2);
}

function cells(figures: Figures): string[] {
  return [
    number(figures.messagesPerSecond),
    `${(figures.spread * 100).toFixed(0)} %`,
    number(figures.megabytesPerSecond),
    fixed(figures.ofStraight),
    number(figures.cpuMs),
    fixed(figures.cpuOfHaproxy),
    figures.peakMB?.toFixed(0) ?? '',
    figures.startPeakMB?.toFixed(0) ?? '',
  ];
}

/** For the transport rows. */
export function transportTable(rows: readonly Row[]): string {
  const head = [
    'messages',
    'through',
    'messages/s',
    'spread',
    'CPU ms each',
    'messages/CPU s',
    'of Postfix',
    'peak RSS MB',
    'before load',
    'sockets kept',
    '2 min later',
  ];
  return markdown(head, linesOf(rows, transportCells), 2);
}

function transportCells(figures: Figures): string[] {
  return [
    number(figures.messagesPerSecond),
    `${(figures.spread * 100).toFixed(0)} %`,
    number(figures.cpuMs),
    number(figures.messagesPerCpuSecond),
    fixed(figures.ofPostfix),
    figures.peakMB?.toFixed(0) ?? '',
    figures.startPeakMB?.toFixed(0) ?? '',
    `${figures.socketsKept ?? ''}`,
    `${figures.socketsLater ?? ''}`,
  ];
}

function linesOf(rows: readonly Row[], cellsOf: (figures: Figures) => string[]): string[][] {
  return rows.flatMap(row =>
    row.scenario.subjects.map((subject, index) => [
      index === 0 ? row.scenario.title : '',
      subject,
      ...cellsOf(rowFigures(row, subject)),
    ]),
  );
}

export function targetsTable(rows: readonly Row[]): string {
  const filter = new Map(rows.map(row => [row.scenario.name, rowFigures(row, 'filter')]));
  const lines = targets.flatMap(target => {
    const needed = target.rows.flatMap(name => filter.get(name) ?? []);
    const value = needed.length === target.rows.length ? target.value(...needed) : undefined;
    if (value === undefined) return [];
    const limit = target.atLeast === undefined ? `at most ${target.atMost}` : `at least ${target.atLeast}`;
    return [[target.text, limit, number(value), isMet(target, value) ? 'met' : 'MISSED']];
  });
  return markdown(['target', 'limit', 'measured', ''], lines, 1);
}

/** Nothing where there was nothing to compare with. */
function fixed(ratio: number | undefined): string {
  return ratio === undefined || Number.isNaN(ratio) ? '' : ratio.toFixed(2);
}

/** Three significant digits, thousands whole. */
export function number(value: number | undefined): string {
  if (value === undefined) return '';
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** Columns from `textColumns` on are numbers and stand to the right. */
export function markdown(head: readonly string[], lines: readonly (readonly string[])[], textColumns: number): string {
  const widths = head.map((_, column) => Math.max(3, ...[head, ...lines].map(line => (line[column] ?? '').length)));
  const row = (line: readonly string[]) =>
    `| ${widths.map((width, column) => align(line[column] ?? '', width, column >= textColumns)).join(' | ')} |`;
  const rule = widths.map((width, column) => (column < textColumns ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [row(head), row(rule), ...lines.map(row)].join('\n');
}

function align(text: string, width: number, right: boolean): string {
  return right ? text.padStart(width) : text.padEnd(width);
}
