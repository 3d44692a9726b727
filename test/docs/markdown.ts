/** Tables and links of our Markdown documents. */
import { readFileSync } from 'node:fs';
import { root } from './sources.ts';

export type Table = Readonly<{
  /** The nearest heading above. */
  under: string;
  columns: readonly string[];
  rows: readonly (readonly string[])[];
}>;

export const readDocument = (path: string): string => readFileSync(root + path, 'utf8');

export function tablesOf(document: string): readonly Table[] {
  return document.split(/^(?=#+ )/m).flatMap(section =>
    (section.match(/(?:^\|.*\n)+/gm) ?? []).map(text => {
      const [columns = [], , ...rows] = text.trim().split('\n').map(cellsOf);
      return { under: section.split('\n', 1)[0]?.replace(/^#+ /, '') ?? '', columns, rows };
    }),
  );
}

const cellsOf = (line: string): string[] =>
  line
    .slice(1, -1)
    .split('|')
    .map(cell => cell.trim());

/** What stands in backquotes. */
export const codeIn = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, code]) => code ?? '');

/** The code in the first column of all tables whose first column has that name. */
export function codeUnder(column: string, document: string): readonly string[] {
  const tables = tablesOf(document).filter(({ columns }) => columns[0] === column);
  return tables.flatMap(({ rows }) => rows.flatMap(([first = '']) => codeIn(first)));
}

/** Targets of links: paths from the document on, and headings as `#anchor`. */
export const linksIn = (document: string): string[] =>
  [...document.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target ?? '');

export function anchorsOf(document: string): readonly string[] {
  const headings = document.match(/^#+ .*$/gm) ?? [];
  return headings.map(
    heading =>
      `#${heading
        .replace(/^#+ /, '')
        .toLowerCase()
        .replace(/[^\w -]/g, '')
        .replaceAll(' ', '-')}`,
  );
}
