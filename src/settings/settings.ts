/**
 * `chatmail.ini` (its section `[params]`) and the environment, read once at start into one frozen typed value; nothing
 * else of the program reads either for options. Keys of other programs that share the file are ignored. Every fault is
 * one line for the admin, and all of them are found in one go.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { getSystemErrorMessage } from 'node:util';
import { escaped } from './escaped.ts';
import { type IniSection, type Problem, parseIni } from './ini.ts';
import { portClashes } from './port-clashes.ts';
import { splitWords } from './python-text.ts';
import * as rule from './rules.ts';

/** Everything that `chatmail.ini` and the environment decide, checked, with defaults filled in, deeply frozen. */
export type Settings = Readonly<{
  /** Lower-cased ASCII; a bare IPv4 address for a relay without DNS. */
  mailDomain: string;
  /** Our name in greetings and EHLO: `mailDomain`, or `[a.b.c.d]`. */
  serverName: string;
  /** Lower-cased domains of local addresses: `[mailDomain]`, or `['[a.b.c.d]']`. */
  addressDomains: readonly string[];
  mailboxesDir: string;
  smtpPort: number;
  smtpPortIncoming: number;
  httpPortIncoming: number;
  lmtpPortTransport: number;
  reinjectPort: number;
  reinjectPortIncoming: number;
  /** Octets after dot-unescaping, CRLFs counted. */
  maxMessageSize: number;
  sendPerMinute: number;
  sendBurstSize: number;
  /** ASCII lower case: `user@domain`. */
  passthroughSenders: readonly string[];
  /** ASCII lower case: `user@domain` or `@domain`. */
  passthroughRecipients: readonly string[];
  /** IP address to listen on. */
  host: string;
  /** Name or IP address. */
  postfixHost: string;
  /** Empty: the system's. */
  dnsServers: readonly DnsServer[];
  remoteSmtpPort: number;
  remoteHttpsPort: number;
  /** LMTP connections Postfix may open. */
  transportConnections: number;
  rejectedDir: string;
  spoolDir: string;
  skipDkim: boolean;
  /** `RUST_LOG` as it is, `''` when unset. */
  logFilter: string;
}>;

export type DnsServer = rule.DnsServer;

/** The process environment, or a stand-in for it. */
export type Env = Readonly<Record<string, string | undefined>>;

/** Either the settings, or at least one problem: one ASCII line each, with the line number of the file where there is one. */
export type SettingsResult =
  | Readonly<{ settings: Settings; problems?: never }>
  | Readonly<{ settings?: never; problems: readonly string[] }>;

/** Real files have a few kB. */
const MOST_OCTETS = 1024 * 1024;

/** So that a file that is no ini file at all does not fill the journal. */
const MOST_PROBLEMS = 100;

/** Reads the file at `path`, as `readSettings` does its text. A file that cannot be read is one problem. */
export function loadSettings(path: string, env: Env): SettingsResult {
  let source: Uint8Array;
  try {
    source = readStart(path, MOST_OCTETS + 1);
  } catch (error) {
    const { errno, code } = error as NodeJS.ErrnoException;
    const cause = errno === undefined ? code : getSystemErrorMessage(errno);
    return { problems: [`cannot read ${escaped(path)}: ${cause}`] };
  }
  return readSettings(source, env);
}

/** The settings that the text (or octets) of `chatmail.ini` and the environment make. Pure. */
export function readSettings(source: string | Uint8Array, env: Env): SettingsResult {
  if (Buffer.byteLength(source) > MOST_OCTETS) return { problems: [`larger than ${MOST_OCTETS} octets`] };
  const ini = parseIni(source);
  const params: IniSection = ini.sections.get('params') ?? new Map();
  const problems: Problem[] = [...ini.problems];
  const faulty = new Set<string>();

  const complain = (key: string, text: string) => {
    problems.push({ line: params.get(key)?.line ?? 0, text: `${key}: ${text}` });
    faulty.add(key);
  };
  const one = <T>(key: string, { read, allowed }: rule.Rule<T>, absent: T): T => {
    const text = params.get(key)?.value;
    if (text === undefined) return absent;
    const value = read(text);
    if (value === undefined) complain(key, `${escaped(text)} is not ${allowed}`);
    return value ?? absent;
  };
  const many = <T>(key: string, { read, allowed }: rule.Rule<T>): readonly T[] => {
    const values: T[] = [];
    for (const word of splitWords(params.get(key)?.value ?? '')) {
      const value = read(word);
      if (value === undefined) complain(key, `${escaped(word)} is not ${allowed}`);
      else values.push(value);
    }
    return Object.freeze(values);
  };

  if (!ini.sections.has('params')) problems.push({ line: 0, text: 'the section [params] is missing' });
  else if (!params.has('mail_domain')) complain('mail_domain', `is missing; it must be ${rule.mailDomain.allowed}`);
  const writtenDomain = one('mail_domain', rule.mailDomain, '');
  const mailDomain = writtenDomain.toLowerCase();
  const serverName = isIPv4(mailDomain) ? `[${mailDomain}]` : mailDomain;

  // From systemd: the first one where the unit has several.
  const cacheDirectory = env.CACHE_DIRECTORY?.split(':', 1)[0];
  if (cacheDirectory && !params.has('filtermail_spool_dir') && !rule.absolutePath.read(cacheDirectory))
    problems.push({ line: 0, text: `CACHE_DIRECTORY: ${escaped(cacheDirectory)} is not ${rule.absolutePath.allowed}` });

  const settings: Settings = Object.freeze({
    mailDomain,
    serverName,
    addressDomains: Object.freeze([serverName]),
    mailboxesDir: one('mailboxes_dir', rule.absolutePath, `/home/vmail/mail/${writtenDomain}`),
    smtpPort: one('filtermail_smtp_port', rule.port, 10080),
    smtpPortIncoming: one('filtermail_smtp_port_incoming', rule.port, 10081),
    httpPortIncoming: one('filtermail_http_port_incoming', rule.port, 10082),
    lmtpPortTransport: one('filtermail_lmtp_port_transport', rule.port, 10083),
    reinjectPort: one('postfix_reinject_port', rule.port, 10025),
    reinjectPortIncoming: one('postfix_reinject_port_incoming', rule.port, 10026),
    maxMessageSize: one('max_message_size', rule.wholeNumber(1, 2 ** 31 - 1), 31_457_280),
    sendPerMinute: one('max_user_send_per_minute', rule.wholeNumber(1, 1_000_000), 60),
    sendBurstSize: one('max_user_send_burst_size', rule.wholeNumber(1, 1_000_000), 10),
    passthroughSenders: many('passthrough_senders', rule.mailAddress),
    passthroughRecipients: many('passthrough_recipients', rule.mailAddressOrDomain),
    host: one('filtermail_host', rule.ipAddress, '127.0.0.1'),
    postfixHost: one('postfix_host', rule.hostNameOrAddress, '127.0.0.1'),
    dnsServers: many('filtermail_dns_servers', rule.dnsServer),
    remoteSmtpPort: one('filtermail_remote_smtp_port', rule.port, 25),
    remoteHttpsPort: one('filtermail_remote_https_port', rule.port, 443),
    transportConnections: one('filtermail_transport_connections', rule.wholeNumber(1, 100_000), 500),
    rejectedDir: one('filtermail_rejected_dir', rule.absolutePath, '/tmp/filtermail-rejected'),
    spoolDir: one('filtermail_spool_dir', rule.absolutePath, cacheDirectory || '/var/tmp'),
    skipDkim: /^(1|true)$/i.test(env.FILTERMAIL_SKIP_DKIM ?? ''),
    logFilter: env.RUST_LOG ?? '',
  });

  const isGood = (key: string) => !faulty.has(key);
  for (const { key, other } of portClashes(settings, isGood)) {
    const [blamed, kept] = params.has(key) ? [key, other] : [other, key];
    complain(blamed, `${escaped(params.get(blamed)?.value ?? '')} is not free: ${kept} is the same port`);
  }
  return problems.length === 0 ? { settings } : { problems: report(problems) };
}

/** One line each, in the order of the file. */
function report(problems: readonly Problem[]): readonly string[] {
  const lines = problems
    .toSorted((a, b) => a.line - b.line)
    .map(({ line, text }) => (line === 0 ? text : `line ${line}: ${text}`));
  const more = lines.length - MOST_PROBLEMS;
  return Object.freeze(more > 0 ? [...lines.slice(0, MOST_PROBLEMS), `and ${more} more problems`] : lines);
}

/** At most `most` octets of a file, which may be a pipe or a device too. Throws what `node:fs` throws. */
function readStart(path: string, most: number): Uint8Array {
  const octets = Buffer.alloc(most);
  const fd = openSync(path, 'r');
  try {
    let length = 0;
    let got: number;
    do {
      got = readSync(fd, octets, length, most - length, null);
      length += got;
    } while (got > 0);
    return octets.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}
