/** A table for a terminal of 100 columns: cells are wrapped between words, and within paths. */
const widths = [26, 40, 28];
const gap = '  ';

/** A cell is one or more paragraphs. */
export type Cell = string | readonly string[];

export function table(heading: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const rule = widths.map(width => '-'.repeat(width));
  return [line(heading), line(rule), ...rows.map(row => `${wrapped(row)}\n`)].join('\n');
}

function wrapped(row: readonly Cell[]): string {
  const cells = row.map((cell, column) => [cell].flat().flatMap(text => wrap(text, widths[column] ?? 0)));
  const height = Math.max(...cells.map(lines => lines.length));
  return Array.from({ length: height }, (_, at) => line(cells.map(lines => lines[at] ?? ''))).join('\n');
}

function line(cells: readonly string[]): string {
  return `${gap}${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(gap)}`.trimEnd();
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let current = '';
  for (const word of text.split(/(?<=[ /])/)) {
    const longer = current + word;
    if (longer.trimEnd().length > width && current !== '') {
      lines.push(current.trimEnd());
      current = word;
    } else {
      current = longer;
    }
  }
  return [...lines, current];
}
