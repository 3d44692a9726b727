/**
 * Section 7 of the contract said a second time: the whole message as one string, lines and patterns, no thought of speed, chunks or
 * reasons. The oracle of the scanner and `whyUnencrypted`. It is for messages whose only line ends are CRLF.
 */
import type { Direction } from '../../src/check/encryption.ts';

export function isEncrypted(message: string, direction: Direction): boolean {
  const { header, body } = splitAtBlankLine(message) ?? { header: message, body: '' };
  const fields = fieldsOf(header);
  const type = contentType(fields);
  if (type?.name !== 'multipart/encrypted' || type.boundary === undefined) return false;
  if (!/^(?:7bit|8bit|binary)$/.test(transferEncoding(fields ?? []))) return false;
  const parts = partsOf(body, type.boundary, direction);
  if (parts?.length !== 2) return false;
  const [first, second] = parts.map(readPart);
  if (!first || !second) return false;
  return (
    first.name === 'application/pgp-encrypted' &&
    /^[ \t\r\n]*Version: 1[ \t\r\n]*$/.test(first.content) &&
    second.name === 'application/octet-stream' &&
    isArmor(second.content, direction)
  );
}

function splitAtBlankLine(text: string): { header: string; body: string } | null {
  if (text.startsWith('\r\n')) return { header: '', body: text.slice(2) };
  const at = text.indexOf('\r\n\r\n');
  return at < 0 ? null : { header: text.slice(0, at), body: text.slice(at + 4) };
}

type Fields = { name: string; value: string }[];

/** The unfolded fields; null when a line is no field. */
function fieldsOf(header: string): Fields | null {
  const fields: Fields = [];
  for (const line of header === '' ? [] : header.split('\r\n')) {
    const [, name, value] = /^(?=[^:]{1,997}:)([!-9;-~]+)[ \t]*:([\s\S]*)$/.exec(line) ?? [];
    const last = fields.at(-1);
    if (name !== undefined && value !== undefined) fields.push({ name: name.toLowerCase(), value });
    else if (last !== undefined && /^[ \t]/.test(line)) last.value += line;
    else return null;
  }
  return fields;
}

/** The only field of that name, without comments; null when there are two or a comment or quote is open. */
function structured(fields: Fields, name: string, absent: string): string | null {
  const [field, ...more] = fields.filter(each => each.name === name);
  if (more.length > 0) return null;
  return field === undefined ? absent : withoutComments(field.value);
}

/** A structured value with a blank for each comment; null when a comment or a quoted string does not end. */
export function withoutComments(value: string): string | null {
  let kept = '';
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < value.length; at++) {
    const escapes = value[at] === '\\' && (quoted || depth > 0);
    const piece = escapes ? value.slice(at, at + 2) : (value[at] ?? '');
    at += piece.length - 1;
    if (piece === '"' && depth === 0) quoted = !quoted;
    if (piece === '(' && !quoted) depth++;
    if (depth === 0) kept += piece;
    else if (piece === ')' && --depth === 0) kept += ' ';
  }
  return depth > 0 || quoted ? null : kept;
}

const token = "[!#$%&'*+.^_`{|}~A-Za-z0-9-]+";
const typePattern = new RegExp(String.raw`^[ \t]*(${token})[ \t]*/[ \t]*(${token})[ \t]*(;[\s\S]*)?$`);
const parameterPattern = new RegExp(
  String.raw`;[ \t]*(${token})[ \t]*=[ \t]*(${token}|"(?:[^"\\]|\\[\s\S])*")[ \t]*(?=;|$)`,
  'y',
);

function contentType(fields: Fields | null): { name: string; boundary: string | undefined } | null {
  const value = fields === null ? null : structured(fields, 'content-type', 'text/plain');
  const [, type = '', subtype = '', parameters = ''] = (value === null ? null : typePattern.exec(value)) ?? [];
  if (type === '') return null;
  const field = fields?.find(({ name }) => name === 'content-type')?.value ?? '';
  // Of a multipart others may read comments, escapes and quoted semicolons in another way.
  if (/^multipart$/i.test(type) && (value?.trim() !== field.trim() || /\\|"[^"]*;[^"]*"/.test(quotedParts(field))))
    return null;
  const boundaries: string[] = [];
  let at = 0;
  while (!/^;?[ \t]*$/.test(parameters.slice(at))) {
    parameterPattern.lastIndex = at;
    const [whole, name = '', text = ''] = parameterPattern.exec(parameters) ?? [];
    if (whole === undefined || /^boundary\*/i.test(name)) return null;
    if (/^boundary$/i.test(name)) boundaries.push(unquoted(text));
    at += whole.length;
  }
  return boundaries.length > 1 ? null : { name: `${type}/${subtype}`.toLowerCase(), boundary: boundaries[0] };
}

/** The quoted strings, one behind the other, each in its quotes; backslashes wherever they stand. */
function quotedParts(value: string): string {
  return (value.match(/"[^"]*"|\\/g) ?? []).join(' ');
}

function unquoted(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replaceAll(/\\([\s\S])/g, '$1') : text;
}

/** The parts with their headers; null when anything stands where nothing may. */
function partsOf(body: string, boundary: string, direction: Direction): string[] | null {
  if (!/^[ -~]{0,69}[!-~]$/.test(boundary)) return null;
  const lines = body.split('\r\n');
  const delimiters: { at: number; closes: boolean }[] = [];
  for (const [at, line] of lines.entries()) {
    if (!line.startsWith(`--${boundary}`) || delimiters.at(-1)?.closes) continue;
    const [, dashes] = /^(--|)[ \t]*$/.exec(line.slice(boundary.length + 2)) ?? [];
    if (dashes === undefined || line.length > 998) return null;
    delimiters.push({ at, closes: dashes === '--' });
  }
  const opening = delimiters[0];
  const closing = delimiters.at(-1);
  // The closing delimiter's line has an end, so there is something behind it, if only nothing.
  if (!opening || !closing?.closes || closing.at === lines.length - 1) return null;
  if (!isBlank(lines.slice(closing.at + 1).join('\n'))) return null;
  const preamble = lines.slice(0, opening.at).join('\r\n');
  const mayHaveText = direction === 'incoming' && /^[\t\r\n -~]{0,256}$/.test(preamble);
  if (!isBlank(preamble) && !mayHaveText) return null;
  return delimiters.slice(1).map(({ at }, index) =>
    lines
      .slice((delimiters[index]?.at ?? 0) + 1, at)
      .map(line => `${line}\r\n`)
      .join(''),
  );
}

function isBlank(text: string): boolean {
  return /^[ \t\r\n]*$/.test(text);
}

function readPart(part: string): { name: string; content: string } | null {
  const { header, body } = splitAtBlankLine(part) ?? {};
  const fields = header === undefined ? null : fieldsOf(header);
  const type = contentType(fields);
  if (fields === null || type === null || body === undefined || type.name.startsWith('multipart/')) return null;
  const content = decode(body.replace(/\r\n$/, ''), transferEncoding(fields));
  return content === null ? null : { name: type.name, content };
}

function transferEncoding(fields: Fields): string {
  return (
    structured(fields, 'content-transfer-encoding', '7bit')
      ?.replaceAll(/^[ \t]+|[ \t]+$/g, '')
      .toLowerCase() ?? ''
  );
}

function decode(body: string, encoding: string): string | null {
  if (encoding === '7bit' || encoding === '8bit' || encoding === 'binary') return body;
  if (encoding === 'base64') return decodeBase64(body.replaceAll('\r\n', ''));
  if (encoding !== 'quoted-printable') return null;
  const lines = body.split('\r\n').map(line => line.replace(/[ \t]+$/, ''));
  if (lines.some(line => /=(?![0-9A-Fa-f]{2}|$)/.test(line))) return null;
  return lines
    .map((line, index) => line.replace(/=$/, '') + (line.endsWith('=') || index === lines.length - 1 ? '' : '\r\n'))
    .join('')
    .replaceAll(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** Text that is exactly what an encoder would write. */
function decodeBase64(text: string): string | null {
  const octets = Buffer.from(text, 'base64');
  return octets.toString('base64') === text ? octets.toString('latin1') : null;
}

const armorPattern = new RegExp(
  String.raw`^-----BEGIN PGP MESSAGE-----\r?\n` +
    String.raw`((?:[A-Za-z][A-Za-z0-9-]*:(?: [^\0-\x08\x0a-\x1f\x7f]*)?\r?\n)*)[ \t]*\r?\n` +
    String.raw`([A-Za-z0-9+/\r\n]*)(?:(={1,2})\r?\n|(?<=\n))` +
    String.raw`(?:=[A-Za-z0-9+/]{4}\r?\n)?-----END PGP MESSAGE-----[\r\n]*$`,
);

function isArmor(content: string, direction: Direction): boolean {
  const [whole, headers, letters = '', padding = ''] = armorPattern.exec(content) ?? [];
  if (whole === undefined || (headers !== '' && direction === 'outgoing')) return false;
  const octets = decodeBase64(letters.replaceAll(/[\r\n]/g, '') + padding);
  return octets !== null && isEncryptedData(octets);
}

/** PKESK and SKESK packets and one SEIPD, which ends with the data. */
function isEncryptedData(octets: string): boolean {
  let rest = octets;
  for (;;) {
    const key = /^[\x84\x8c\xc1\xc3]/.test(rest) ? 1 : /^[\x85\x8d]/.test(rest) ? 2 : /^[\x86\x8e]/.test(rest) ? 4 : 0;
    if (key === 0) break;
    const length = /^[\xc1\xc3]/.test(rest)
      ? newLength(rest, 1)
      : { octets: key, value: number(rest.slice(1, 1 + key)) };
    if (length === null || rest.length < 1 + length.octets + length.value) return false;
    rest = rest.slice(1 + length.octets + length.value);
  }
  return rest.startsWith('\xd2') && isSeipdBody(rest);
}

function isSeipdBody(packet: string): boolean {
  let at = 1;
  for (let chunk = 0; at < packet.length; chunk++) {
    const length = newLength(packet, at);
    if (length !== null) return at + length.octets + length.value === packet.length;
    const first = packet.charCodeAt(at);
    if (first < 224 || first === 255 || (chunk === 0 && first < 0xe9)) return false;
    at += 1 + 2 ** (first - 0xe0);
  }
  return false;
}

/** A definite length (RFC 9580 4.2.1); null for a partial or unfinished one. */
function newLength(octets: string, at: number): { octets: number; value: number } | null {
  const first = octets.charCodeAt(at);
  const field = octets.slice(at, at + (first < 192 ? 1 : first < 224 ? 2 : 5));
  if (first < 192) return { octets: 1, value: first };
  if (first < 224) return field.length === 2 ? { octets: 2, value: number(field) - 0xc000 + 192 } : null;
  return first === 255 && field.length === 5 ? { octets: 5, value: number(field.slice(1)) } : null;
}

function number(octets: string): number {
  return [...octets].reduce((value, octet) => value * 256 + octet.charCodeAt(0), 0);
}
