/** The house's rules about source files, each a function from the files to what breaks it. */
import { posix } from 'node:path';

/** A file of `src` by its path there (`message/header.ts`). */
export type Source = Readonly<{ path: string; text: string }>;
export type Import = Readonly<{
  /** A path in `src`, or the name of a module from elsewhere. */
  target: string;
  /** Erased at run time. */
  typeOnly: boolean;
}>;

const statement =
  /^[ \t]*(?:import|export)\b(?!\s*\()[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]|^[ \t]*import\s*['"]([^'"]+)['"]/gm;
const call = /\b(?:import|require|getBuiltinModule)\s*\(\s*(?:['"`]([^'"`]+)['"`])?/g;

export function importsOf({ path, text }: Source): Import[] {
  const found: Import[] = [];
  const code = withoutComments(text);
  for (const [whole, from, bare] of code.matchAll(statement)) {
    found.push({ target: resolved(path, from ?? bare ?? ''), typeOnly: /^\s*(?:import|export)\s+type\b/.test(whole) });
  }
  // A module named by an expression could be any.
  for (const [, name = '(computed)'] of code.matchAll(call))
    found.push({ target: resolved(path, name), typeOnly: false });
  return found;
}

function resolved(path: string, target: string): string {
  return target.startsWith('.') ? posix.join(posix.dirname(path), target) : target;
}

/** Comments made blank, strings kept. Good enough for sources that a formatter has written. */
function withoutComments(text: string): string {
  return text
    .replaceAll(/^\s*\/\*\*?[\s\S]*?\*\//gm, '')
    .replaceAll(/^\s*\/\/.*$/gm, '')
    .replaceAll(/(?<=[;{},)] )\/\/ .*$/gm, '');
}

/** The first directory of a path, or the file itself where it stands in `src`. */
function unitOf(path: string): string {
  return path.split('/')[0] ?? '';
}

const pure = new Set(['message', 'check', 'wire']);
const impureModules = new Set(
  [
    'net',
    'tls',
    'dns',
    'http',
    'https',
    'http2',
    'dgram',
    'fs',
    'timers',
    'child_process',
    'worker_threads',
    'cluster',
  ].flatMap(name => [name, `node:${name}`]),
);

function isImpure(module: string): boolean {
  return impureModules.has(module.replace(/(?<=^(?:node:)?\w+)\/.*$/, '')) || module === '(computed)';
}

export function impureImports(sources: readonly Source[]): string[] {
  return breaches(sources, (source, { target }) => pure.has(unitOf(source.path)) && isImpure(target));
}

/** A pure file that imports an impure one of ours would be pure by name only. */
export function pureImportsImpure(sources: readonly Source[]): string[] {
  return breaches(
    sources,
    (source, { target }) =>
      pure.has(unitOf(source.path)) && target.includes('/') && isOurs(sources, target) && !pure.has(unitOf(target)),
  );
}

export function edgesImportCheck(sources: readonly Source[]): string[] {
  return breaches(
    sources,
    ({ path }, { target }) => ['accept', 'deliver'].includes(unitOf(path)) && unitOf(target) === 'check',
  );
}

export function seesAllThree(sources: readonly Source[]): string[] {
  const units = Map.groupBy(sources, source => unitOf(source.path));
  return [...units]
    .filter(([unit, files]) => {
      const seen = new Set([unit, ...files.flatMap(importsOf).map(({ target }) => unitOf(target))]);
      return unit !== 'modes' && ['accept', 'check', 'deliver'].every(name => seen.has(name));
    })
    .map(([unit]) => unit);
}

function breaches(sources: readonly Source[], isBreach: (source: Source, each: Import) => boolean): string[] {
  return sources.flatMap(source =>
    importsOf(source)
      .filter(each => isBreach(source, each))
      .map(({ target }) => `${source.path} imports ${target}`),
  );
}

function isOurs(sources: readonly Source[], target: string): boolean {
  return sources.some(({ path }) => path === target);
}

function found(sources: readonly Source[], pattern: RegExp, applies: (path: string) => boolean): string[] {
  return sources
    .filter(({ path }) => applies(path))
    .flatMap(({ path, text }) => {
      const matches = [...withoutComments(text).matchAll(pattern)];
      return matches.map(([match]) => `${path}: ${match}`);
    });
}

const clockOrRandom =
  /\bDate\s*\.\s*now|\bnew\s+Date\b|\bDate\s*\(|\bperformance\b|\bhrtime\b|\buptime\s*\(|\bset(?:Timeout|Interval|Immediate)\b|\bMath\s*\.\s*random\b|\brandom(?:Bytes|UUID|Int|Fill|FillSync)\b|\bgetRandomValues\b|\bgenerateKey\w*\b|\bTemporal\b/g;

export function clocksAndRandom(sources: readonly Source[]): string[] {
  return found(sources, clockOrRandom, path => pure.has(unitOf(path)));
}

const environment =
  /\bprocess\s*(?:\?\.|\.)\s*(?:env|argv)\b|\bprocess\s*\[|\{[^}]*\b(?:env|argv)\b[^}]*\}\s*(?:=\s*process\b|from\s*['"]node:process['"])/g;

export function environmentReads(sources: readonly Source[]): string[] {
  return found(sources, environment, path => path !== 'main.ts' && unitOf(path) !== 'settings');
}

export const maxLines = 400;

export function tooLong(sources: readonly Source[]): string[] {
  return sources
    .map(({ path, text }) => ({ path, lines: text.trimEnd().split('\n').length }))
    .filter(({ lines }) => lines > maxLines)
    .map(({ path, lines }) => `${path}: ${lines} lines`);
}

const declared =
  /\b(?:function\*?|class|interface|type|const|let|enum)\s+([A-Za-z_$][\w$]*)|^\s+(?:static |async |readonly |get |set )*#?([a-z][\w$]*)\s*(?:<[^>]*>)?\([^)]*\)[^;{]*\{/gm;
const saysNothing = new Set(['util', 'utils', 'helper', 'helpers', 'manager', 'managers']);
const vagueVerbs = new Set(['handle', 'process']);

function isForbidden(name: string): boolean {
  const words = name.split(/[^A-Za-z]+|(?=[A-Z])/).map(word => word.toLowerCase());
  return words.some(word => saysNothing.has(word)) || (words.length > 1 && vagueVerbs.has(words[0] ?? ''));
}

export function forbiddenNames(sources: readonly Source[]): string[] {
  return sources.flatMap(({ path, text }) => {
    const names = [...withoutComments(text).matchAll(declared)].map(([, one, other]) => one ?? other ?? '');
    return [...path.replace(/\.ts$/, '').split('/'), ...names].filter(isForbidden).map(name => `${path}: ${name}`);
  });
}

/** Import cycles that exist at run time; `import type` is erased. Each is told once, from its first file on. */
export function cycles(sources: readonly Source[]): string[] {
  const graph = new Map(
    sources.map(source => [
      source.path,
      importsOf(source).flatMap(({ target, typeOnly }) => (typeOnly || !isOurs(sources, target) ? [] : [target])),
    ]),
  );
  const settled = new Set<string>();
  const told: string[] = [];
  const visit = (path: string, way: readonly string[]): void => {
    const seen = way.indexOf(path);
    if (seen >= 0) told.push([...way.slice(seen), path].join(' -> '));
    if (seen >= 0 || settled.has(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...way, path]);
    settled.add(path);
  };
  for (const path of [...graph.keys()].sort()) visit(path, []);
  return told;
}
