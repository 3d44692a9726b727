/** What the source can say: its texts as patterns, in which `…` stands for whatever is put in at run time. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));

export type Source = Readonly<{
  path: string;
  text: string;
  /** With `…` for every `${…}` in a template. */
  plain: string;
}>;

export const sources: readonly Source[] = readdirSync(`${root}src`, { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.ts'))
  .sort()
  .map(name => {
    const path = `src/${name}`;
    const text = readFileSync(root + path, 'utf8').replace(/^\s*(?:\/\/|\/?\*).*$/gm, '');
    return { path, text, plain: withoutExpressions(text) };
  });

/** Two of them side by side are one. */
export function withoutExpressions(text: string): string {
  let plain = '';
  for (let at = 0; at < text.length; at++) {
    if (!text.startsWith('${', at)) {
      plain += text[at];
      continue;
    }
    at = closing(text, at + 1);
    if (!plain.endsWith('…')) plain += '…';
  }
  return plain;
}

/** The place of the bracket that closes the one at `from`. */
export function closing(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    if ('([{'.includes(text[at] ?? '')) depth++;
    else if (')]}'.includes(text[at] ?? '') && --depth === 0) return at;
  }
  throw new Error(`no end: ${text.slice(from, from + 60)}`);
}

/** The text of a string literal, or of the only constant with that name; null for anything else. */
export function textOf(expression: string, { plain }: Source): string | null {
  const literal = /^(['`])((?:(?!\1).)*)\1$/s.exec(expression)?.[2];
  if (literal !== undefined) return literal;
  if (!/^\w+$/.test(expression)) return null;
  const [only, ...more] = plain.matchAll(new RegExp(`const ${expression} = (['\`].*['\`]);$`, 'gm'));
  return only === undefined || more.length > 0 ? null : textOf(only[1] ?? '', { plain: '', path: '', text: '' });
}

/** The arguments of a call whose bracket is at `open`, cut at commas that stand in no bracket or quotes. */
export function argumentsAt(text: string, open: number): string[] {
  const inner = text.slice(open + 1, closing(text, open));
  const pieces = inner.match(/(?:'[^']*'|`[^`]*`|\((?:[^()]|\([^()]*\))*\)|[^,'`()])+/g) ?? [];
  return pieces.map(piece => piece.trim()).filter(piece => piece !== '');
}
