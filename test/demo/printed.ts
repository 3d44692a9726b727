/** What `npm start` printed. */
import assert from 'node:assert/strict';

const columns = [
  [2, 28],
  [30, 70],
  [72, 100],
] as const;

/** The cells of one row of the tables, unwrapped: the row that begins with `first`. */
export function cells(output: string, first: string): string[] {
  const [, ...bodies] = output.split(/ -+\n/);
  const rows = bodies.join('\n\n').split('\n\n');
  const unwrapped = rows.map(row =>
    columns.map(([from, to]) => {
      const lines = row.split('\n').map(line => line.slice(from, to).trim());
      return lines.join(' ').replaceAll('/ ', '/').trim();
    }),
  );
  return unwrapped.find(([cell]) => cell?.startsWith(first)) ?? assert.fail(`no row "${first}" in:\n${output}`);
}
