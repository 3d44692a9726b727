/**
 * SMTP and LMTP commands (RFC 5321 4.1, RFC 2033, Postfix XFORWARD_README): one line without its CRLF, as octet string, becomes a
 * command or the reply that refuses it.
 */
import type { ForwardedAttribute, Parameters } from '../message/envelope.ts';
import { hasControl, trimBlanks } from '../message/text.ts';
import { findPathEnd } from './path.ts';
import { type Reply, reply, type StatusDetail } from './reply.ts';

export type Command =
  | { verb: 'EHLO' | 'HELO' | 'LHLO'; name: string }
  | { verb: 'MAIL' | 'RCPT'; address: string; parameters: Parameters }
  | { verb: 'XFORWARD'; attributes: readonly ForwardedAttribute[] }
  | { verb: 'DATA' | 'RSET' | 'NOOP' | 'VRFY' | 'QUIT' };

export type CommandResult = { command: Command } | { refusal: Reply };

/** The attributes we announce and take. */
export const xforwardAttributes: readonly string[] = ['NAME', 'ADDR', 'PORT', 'PROTO', 'HELO', 'IDENT', 'SOURCE'];

const syntaxError = reply(501, '5.4', 'Syntax error');
const unknownCommand = reply(502, '5.1', 'Command not implemented');
const unknownParameter = reply(555, '5.4', 'Parameter not implemented');

/** What the value of each parameter must be like; `null` where the keyword stands alone (RFC 1870, 6152, 6531, 3461, 4954). */
const mailParameters: Readonly<Record<string, RegExp | null>> = {
  SIZE: /^\d{1,20}$/,
  BODY: /^(?:7BIT|8BITMIME)$/i,
  SMTPUTF8: null,
  RET: /^(?:FULL|HDRS)$/i,
  ENVID: /^[^ \t]{1,200}$/,
  AUTH: /^[^ \t]{1,1000}$/,
};
const rcptParameters: Readonly<Record<string, RegExp | null>> = {
  NOTIFY: /^(?:NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2})$/i,
  ORCPT: /^[^; \t]+;[^ \t]{1,1000}$/,
};

export function parseCommand(line: string): CommandResult {
  const blank = line.search(/[ \t]/);
  const word = (blank < 0 ? line : line.slice(0, blank)).toUpperCase();
  const rest = blank < 0 ? '' : trimBlanks(line.slice(blank));
  switch (word) {
    case 'MAIL':
      return parsePath('MAIL', rest, /^FROM:[ \t]*/i, mailParameters);
    case 'RCPT':
      return parsePath('RCPT', rest, /^TO:[ \t]*/i, rcptParameters);
    case 'EHLO':
    case 'HELO':
    case 'LHLO':
      return rest === '' || hasControl(rest) ? { refusal: syntaxError } : { command: { verb: word, name: rest } };
    case 'DATA':
    case 'RSET':
    case 'QUIT':
      return rest === '' ? { command: { verb: word } } : { refusal: syntaxError };
    case 'NOOP':
    case 'VRFY':
      return { command: { verb: word } };
    case 'XFORWARD':
      return parseXforward(rest);
    default:
      return { refusal: unknownCommand };
  }
}

function parsePath(
  verb: 'MAIL' | 'RCPT',
  text: string,
  keyword: RegExp,
  known: Readonly<Record<string, RegExp | null>>,
): CommandResult {
  const start = keyword.exec(text)?.[0].length ?? -1;
  if (start < 0 || text[start] !== '<') return { refusal: syntaxError };
  const badAddress: StatusDetail = verb === 'MAIL' ? '1.7' : '1.3';
  const path = findPathEnd(text, start);
  if ('fault' in path) {
    return { refusal: path.fault === 'address' ? reply(501, badAddress, 'Bad address syntax') : syntaxError };
  }
  const address = text.slice(start + 1, path.end);
  if (verb === 'RCPT' && address === '') return { refusal: reply(501, badAddress, 'Bad address syntax') };
  const parameters = parseParameters(text.slice(path.end + 1), known);
  return 'code' in parameters ? { refusal: parameters } : { command: { verb, address, parameters } };
}

function parseParameters(text: string, known: Readonly<Record<string, RegExp | null>>): Parameters | Reply {
  const parameters = new Map<string, string | null>();
  if (text === '') return parameters;
  if (!/^[ \t]/.test(text) || hasControl(text.replaceAll('\t', ' '))) return syntaxError;
  for (const word of trimBlanks(text).split(/[ \t]+/)) {
    const equals = word.indexOf('=');
    const keyword = (equals < 0 ? word : word.slice(0, equals)).toUpperCase();
    const value = equals < 0 ? null : word.slice(equals + 1);
    if (!/^[A-Z0-9][A-Z0-9-]*$/.test(keyword)) return syntaxError;
    const form = Object.hasOwn(known, keyword) ? known[keyword] : undefined;
    if (form === undefined) return unknownParameter;
    if (parameters.has(keyword) || (form === null ? value !== null : value === null || !form.test(value)))
      return syntaxError;
    parameters.set(keyword, value);
  }
  return parameters;
}

function parseXforward(text: string): CommandResult {
  const attributes: ForwardedAttribute[] = [];
  for (const word of text.split(/[ \t]+/)) {
    const equals = word.indexOf('=');
    const name = word.slice(0, Math.max(equals, 0)).toUpperCase();
    if (!xforwardAttributes.includes(name) || hasControl(word)) return { refusal: syntaxError };
    attributes.push({ name, value: word.slice(equals + 1) });
  }
  return { command: { verb: 'XFORWARD', attributes } };
}
