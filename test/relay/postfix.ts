// A private instance of the installed Postfix: its own configuration, queue and data under a temporary directory, loopback
// ports, no chroot. The system's instance is not touched.
//
//   submission smtpd --proxy filter--> reinject smtpd -> queue -> sink
//
// The reinject smtpd has what chatmail relays give it (100 processes, no restrictions beyond permit_mynetworks); the rest is
// for the tests to choose.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  utimesSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { undoAtExit } from './leftovers.ts';
import { Lines } from './lines.ts';

const daemons = '/usr/lib/postfix/sbin';

export interface PostfixOptions {
  domain: string;
  /** Where the submission smtpd takes mail in. */
  submissionPort: number;
  filterPort: number;
  reinjectPort: number;
  sinkPort: number;
  /** Settings, `name=value`, for each of the two smtpds and for all of Postfix. */
  submission?: readonly string[];
  reinject?: readonly string[];
  main?: Record<string, string | number>;
}

/** For the submission smtpd: it receives the whole message before it connects to the filter. */
export const speedAdjust = 'smtpd_proxy_options=speed_adjust';

/** For the reinject smtpd: it announces XFORWARD. */
export const xforward = 'smtpd_authorized_xforward_hosts=127.0.0.0/8';

/** For the reinject smtpd: Received goes and Subject is hidden, as on chatmail relays. */
export const authclean = 'cleanup_service_name=authclean';

/** For the reinject smtpd: these recipients get these replies. */
export function refuse(replies: Record<string, string>): string {
  const table = Object.entries(replies).map(([address, reply]) => `{ ${address} = ${reply} }`);
  return `smtpd_recipient_restrictions=check_recipient_access inline:{ ${table.join(', ')} }`;
}

/** Why there can be no Postfix here; undefined when there can. */
export function whyNoPostfix(): string | undefined {
  try {
    accessSync(join(daemons, 'master'), constants.X_OK);
  } catch {
    return 'Postfix is not installed (as root: sh scripts/debian.sh postfix)';
  }
  return process.getuid?.() === 0 ? undefined : "Postfix's master runs as root only";
}

export class Postfix {
  readonly directory = mkdtempSync(join(tmpdir(), 'filtermail-postfix-'));
  readonly log: Lines;
  readonly #endLog: () => void;
  readonly #forget: () => void;
  #master: ChildProcess | undefined;
  #closed: Promise<unknown> = Promise.resolve();

  private constructor(options: PostfixOptions) {
    this.#forget = undoAtExit(() => {
      this.#signal('SIGKILL');
      this.#remove();
    });
    layOut(this.directory);
    configure(this.directory, options);
    [this.log, this.#endLog] = Lines.follow(join(this.directory, 'maillog'));
  }

  static async start(options: PostfixOptions): Promise<Postfix> {
    const postfix = new Postfix(options);
    try {
      await postfix.start();
    } catch (error) {
      await postfix.end();
      throw error;
    }
    return postfix;
  }

  /** Once this has returned, the ports are bound. */
  async start(): Promise<void> {
    // A session, thus a process group, of its own: whatever master starts can be signalled with it.
    const master = spawn(join(daemons, 'master'), ['-s', '-c', join(this.directory, 'etc')], {
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    this.#master = master;
    // All daemons inherit the standard output: closed means that the last one is gone and the ports are free.
    this.#closed = once(master, 'close');
    const from = this.log.mark;
    const ended = once(master, 'exit').then(() => {
      throw new Error(`Postfix ended at once:\n${this.log.since(from).join('\n')}`);
    });
    await Promise.race([this.log.find(/master\[\d+\]: daemon started/, from), ended]);
    ended.catch(() => undefined); // from here on `stop` tells
  }

  async stop(): Promise<void> {
    this.#master?.kill('SIGTERM');
    await this.#closed;
    this.#master = undefined;
  }

  /** Stops it and removes all it left. */
  async end(): Promise<void> {
    await this.stop();
    this.#endLog();
    this.#remove();
    this.#forget();
  }

  /** Resolves when every accepted message has been passed on to the sink. */
  async idle(withinMs = 30_000): Promise<void> {
    const stages = ['incoming', 'active', 'deferred'].map(stage => join(this.directory, 'queue', stage));
    // In the order messages go through them, so that none slips by while it moves on.
    const queued = () => stages.flatMap(stage => readdirSync(stage, { recursive: true, encoding: 'utf8' }));
    const changed = new AbortController();
    try {
      await new Promise<void>((resolve, reject) => {
        const late = () => reject(new Error(`still queued: ${queued()}\n${this.log.all.slice(-30).join('\n')}`));
        const timer = setTimeout(late, withinMs);
        changed.signal.addEventListener('abort', () => clearTimeout(timer));
        const look = () => queued().length === 0 && resolve();
        for (const stage of stages) watch(stage, { signal: changed.signal }, look);
        look();
      });
    } finally {
      changed.abort();
    }
  }

  #signal(signal: NodeJS.Signals): void {
    const pid = this.#master?.pid;
    if (!pid) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // It is gone already.
    }
  }

  #remove(): void {
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

function id(option: '-u' | '-g', name: string): number {
  return Number(spawnSync('id', [option, name], { encoding: 'utf8' }).stdout);
}

/** The directories that the package's own script would make. */
function layOut(directory: string): void {
  const owner = id('-u', 'postfix');
  chmodSync(directory, 0o755); // Postfix's own user has to get through
  const make = (path: string, own: boolean, mode: number) => {
    mkdirSync(join(directory, path), { mode });
    chmodSync(join(directory, path), mode);
    if (own) chownSync(join(directory, path), owner, 0);
  };
  writeFileSync(join(directory, 'maillog'), '');
  for (const path of ['etc', 'queue', 'queue/pid']) make(path, false, 0o755);
  make('data', true, 0o700);
  for (const path of 'incoming active deferred defer bounce corrupt flush hold saved trace private'.split(' ')) {
    make(`queue/${path}`, true, 0o700);
  }
  make('queue/public', true, 0o710);
}

function configure(directory: string, options: PostfixOptions): void {
  const { domain } = options;
  const main: Record<string, string | number> = {
    compatibility_level: '3.6',
    queue_directory: join(directory, 'queue'),
    data_directory: join(directory, 'data'),
    maillog_file: join(directory, 'maillog'),
    maillog_file_prefixes: directory,
    inet_interfaces: '127.0.0.1',
    inet_protocols: 'all',
    mynetworks: '127.0.0.0/8',
    myhostname: domain,
    myorigin: domain,
    mydestination: '',
    alias_maps: '',
    local_recipient_maps: '',
    append_dot_mydomain: 'no',
    recipient_delimiter: '+',
    message_size_limit: 31457280,
    mailbox_size_limit: 0,
    smtpd_peername_lookup: 'no',
    smtpd_client_port_logging: 'yes',
    smtpd_relay_restrictions: 'permit_mynetworks, reject',
    in_flow_delay: '0',
    // Everything goes to the sink, unaltered, one transaction a message.
    relayhost: `[127.0.0.1]:${options.sinkPort}`,
    smtp_send_xforward_command: 'yes',
    smtp_dns_support_level: 'disabled',
    smtp_tls_security_level: 'none',
    smtp_line_length_limit: 0,
    smtp_destination_recipient_limit: 2000,
    ...options.main,
  };
  const submission = [
    // Instead of logins: whoever comes, from wherever XCLIENT says, is a user.
    'mynetworks=0.0.0.0/0 [::]/0',
    'smtpd_authorized_xclient_hosts=127.0.0.0/8',
    'syslog_name=postfix/submission',
    'smtpd_reject_unlisted_recipient=no',
    'smtpd_client_connection_count_limit=1000',
    `smtpd_proxy_filter=127.0.0.1:${options.filterPort}`,
    ...(options.submission ?? []),
  ];
  const reinject = [
    'syslog_name=postfix/reinject',
    'milter_macro_daemon_name=ORIGINATING',
    ...(options.reinject ?? []),
  ];
  const hidden = 'regexp:{ { /^Received:/ IGNORE }, { /^Subject:/ REPLACE Subject: [...] } }';

  const master = [
    service(`127.0.0.1:${options.submissionPort}`, 'inet', 'n', 5000, 'smtpd', submission),
    service(`127.0.0.1:${options.reinjectPort}`, 'inet', 'n', 100, 'smtpd', reinject),
    service('cleanup', 'unix', 'n', 0, 'cleanup'),
    service('authclean', 'unix', 'n', 0, 'cleanup', [`header_checks=${hidden}`]),
    'qmgr unix n - n 300 1 qmgr',
    service('rewrite', 'unix', '-', '-', 'trivial-rewrite'),
    ...['bounce', 'defer', 'trace'].map(name => service(name, 'unix', '-', 0, 'bounce')),
    ...['error', 'retry'].map(name => service(name, 'unix', '-', '-', 'error')),
    service('flush', 'unix', 'n', 0, 'flush'),
    service('proxymap', 'unix', '-', '-', 'proxymap'),
    service('smtp', 'unix', '-', '-', 'smtp'),
    service('anvil', 'unix', '-', 1, 'anvil'),
    service('scache', 'unix', '-', 1, 'scache'),
    service('postlog', 'unix-dgram', 'n', 1, 'postlogd'),
  ];

  const write = (name: string, lines: string[]) => {
    const path = join(directory, 'etc', name);
    writeFileSync(path, `${lines.join('\n')}\n`);
    // Postfix waits until a file was not changed for a second before it trusts it.
    utimesSync(path, 0, 0);
  };
  write(
    'main.cf',
    Object.entries(main).map(([key, value]) => `${key} = ${value}`),
  );
  write('master.cf', master);
}

/** A line of master.cf: never chrooted, `-o` options in the form that allows blanks. */
function service(
  name: string,
  type: string,
  isPrivate: string,
  limit: number | '-',
  command: string,
  options: readonly string[] = [],
): string {
  const overrides = options.map(option => `\n  -o { ${option.replace('=', ' = ')} }`).join('');
  return `${name} ${type} ${isPrivate} - n - ${limit} ${command}${overrides}`;
}
