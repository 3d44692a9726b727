/**
 * Reads ini text exactly as Python's iniconfig does (`IniConfig(path)`, version 2.3): `#` and `;` in a value belong to
 * it, quotes are literal, an indented line continues the value above, a repeated key or section is an error.
 *
 * Where iniconfig stops at its first error, this goes on and collects every problem; what belongs to a faulty line is
 * set aside so that one fault stays one problem. Pure, linear in the size of the text.
 */
import { isUtf8 } from 'node:buffer';
import { escaped } from './escaped.ts';
import { isBlank, splitLines, strip, stripEnd } from './python-text.ts';

/** The value of a key (continuation lines joined by LF) and the line of its key, from 1. */
export type IniEntry = Readonly<{ value: string; line: number }>;
export type IniSection = ReadonlyMap<string, IniEntry>;

/** `line` counts from 1; 0 when the problem is not in one line. */
export type Problem = Readonly<{ line: number; text: string }>;

/** `sections` is complete only if there are no problems. */
export type Ini = Readonly<{ sections: ReadonlyMap<string, IniSection>; problems: readonly Problem[] }>;

type OpenEntry = { value: string; line: number };
type OpenSection = Map<string, OpenEntry>;

type Line =
  | { kind: 'nothing' }
  | { kind: 'section'; name: string }
  | { kind: 'entry'; key: string; value: string }
  | { kind: 'continuation'; value: string }
  | { kind: 'unreadable' };

/** Parses octets (UTF-8, one BOM tolerated) or text. Faults in it are `problems`, never exceptions. */
export function parseIni(source: string | Uint8Array): Ini {
  if (typeof source === 'string') return parseText(source);
  const { sections, problems } = parseText(decode(source));
  if (isUtf8(source)) return { sections, problems };
  return { sections, problems: [{ line: lineOfBadOctet(source), text: 'not UTF-8' }, ...problems] };
}

function parseText(text: string): Ini {
  const sections = new Map<string, OpenSection>();
  const sectionLines = new Map<string, number>();
  const problems: Problem[] = [];
  let section: OpenSection | undefined;
  let entry: OpenEntry | undefined;

  const lines = splitLines(text.startsWith('\ufeff') ? text.slice(1) : text);
  for (const [index, content] of lines.entries()) {
    const line = index + 1;
    const complain = (text: string) => problems.push({ line, text });
    const read = readLine(content);

    if (read.kind === 'section' && read.name === '') {
      complain('a section needs a name');
    } else if (read.kind === 'section') {
      const before = sectionLines.get(read.name);
      section = new Map();
      entry = undefined;
      if (before !== undefined) {
        complain(`section ${escaped(read.name)} stands already in line ${before}`);
      } else {
        sections.set(read.name, section);
        sectionLines.set(read.name, line);
      }
    } else if (read.kind === 'entry') {
      if (section === undefined) complain(`${escaped(read.key)} stands before the first section`);
      section ??= new Map();
      entry = { value: read.value, line };
      const before = section.get(read.key);
      if (before !== undefined) complain(`${escaped(read.key)} is set already in line ${before.line}`);
      else section.set(read.key, entry);
    } else if (read.kind === 'continuation') {
      if (entry === undefined) complain(`${escaped(read.value)} continues a value, but there is none above`);
      entry ??= { value: '', line };
      entry.value = entry.value === '' ? read.value : `${entry.value}\n${read.value}`;
    } else if (read.kind === 'unreadable') {
      complain(`${escaped(content)} is neither "[section]" nor "key = value"`);
      entry = { value: '', line };
    }
  }
  return { sections, problems };
}

function readLine(content: string): Line {
  const line = stripEnd(content);
  const stripped = strip(line);
  if (/^[#;]|^$/.test(stripped)) return { kind: 'nothing' };
  if (line.startsWith('[')) {
    const name = stripEnd(line.split(/[#;]/, 1)[0] ?? '');
    return name.endsWith(']')
      ? { kind: 'section', name: name.slice(1, -1) }
      : { kind: 'continuation', value: stripped };
  }
  if (isBlank(line.charAt(0))) return { kind: 'continuation', value: stripped };

  const equals = line.indexOf('=');
  const colon = line.indexOf(':');
  const separator = colon >= 0 && (equals < 0 || colon < equals) ? colon : equals;
  if (separator < 0) return { kind: 'unreadable' };
  return { kind: 'entry', key: strip(line.slice(0, separator)), value: strip(line.slice(separator + 1)) };
}

const decode = (octets: Uint8Array): string => new TextDecoder('utf-8', { ignoreBOM: true }).decode(octets);

/** The decoder turns bad octets into U+FFFD, so what it read differs from the octets first at a bad one. */
function lineOfBadOctet(octets: Uint8Array): number {
  const repaired = Buffer.from(decode(octets));
  let at = 0;
  while (repaired[at] === octets[at]) at++;
  return splitLines(decode(octets.subarray(0, at))).length;
}
