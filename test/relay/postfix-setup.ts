// The files of a private Postfix that filters mail on its way in or out, as a chatmail relay's does:
//
//   outgoing: submission smtpd --proxy filter--> reinject smtpd -> queue -> SMTP sink
//   incoming: smtpd on port 25 --proxy filter--> reinject smtpd -> queue -> LMTP sink, for what belongs to a mailbox
//
// The reinject smtpds have what chatmail relays give them (100 processes, no restrictions beyond permit_mynetworks); the rest
// is for the tests to choose.

import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type Direction = 'outgoing' | 'incoming';

export interface PostfixOptions {
  domain: string;
  direction: Direction;
  /** Where the smtpd before the filter takes mail in. */
  entryPort: number;
  filterPort: number;
  reinjectPort: number;
  sinkPort: number;
  /** Settings, `name=value`, for each of the two smtpds and for all of Postfix. */
  entry?: readonly string[];
  reinject?: readonly string[];
  main?: Record<string, string | number>;
  /** Further lines of master.cf. */
  services?: readonly string[];
}

/** For the smtpd before the filter: it receives the whole message before it connects to the filter. */
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

const keptFields = [
  ...['From', 'Message-Id', 'Chat-Is-Post-Message', 'Content-Type', 'Subject', 'Date', 'Autocrypt', 'Secure-Join'],
  ...['Invitenumber', 'Auth', 'Fingerprint', 'Group'].map(name => `Secure-Join-${name}`),
];

/** For all of Postfix: of an incoming message only these fields reach the mailbox, as on chatmail relays. */
export const lmtpCleanup = {
  lmtp_header_checks: `regexp:{ ${keptFields.map(name => `{ /^${name}:/ DUNNO }`).join(', ')}, { /.*/ IGNORE } }`,
};

/** How the two directions differ. */
const particulars = {
  outgoing: {
    // Messages go to the sink unaltered, one transaction each.
    main: { smtp_line_length_limit: 0, smtp_destination_recipient_limit: 2000 },
    entry: [
      // Instead of logins: whoever comes, from wherever XCLIENT says, is a user.
      'mynetworks=0.0.0.0/0 [::]/0',
      'syslog_name=postfix/submission',
      'smtpd_reject_unlisted_recipient=no',
    ],
    reinject: ['syslog_name=postfix/reinject', 'milter_macro_daemon_name=ORIGINATING'],
  },
  incoming: {
    main: { lmtp_send_xforward_command: 'yes' },
    entry: [],
    reinject: ['syslog_name=postfix/reinject_incoming'],
  },
} as const;

function id(option: '-u' | '-g', name: string): number {
  return Number(spawnSync('id', [option, name], { encoding: 'utf8' }).stdout);
}

/** The directories that the package's own script would make. */
export function layOut(directory: string): void {
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

export function configure(directory: string, options: PostfixOptions): void {
  const { domain, direction, sinkPort } = options;
  const particular = particulars[direction];
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
    smtpd_relay_restrictions: 'permit_mynetworks, defer_unauth_destination',
    in_flow_delay: '0',
    ...(direction === 'incoming' && {
      virtual_mailbox_domains: domain,
      virtual_transport: `lmtp:inet:127.0.0.1:${sinkPort}`,
    }),
    relayhost: `[127.0.0.1]:${sinkPort}`,
    smtp_send_xforward_command: 'yes',
    smtp_dns_support_level: 'disabled',
    smtp_tls_security_level: 'none',
    ...particular.main,
    ...options.main,
  };
  const entry = [
    ...particular.entry,
    'smtpd_authorized_xclient_hosts=127.0.0.0/8',
    'smtpd_client_connection_count_limit=1000',
    `smtpd_proxy_filter=127.0.0.1:${options.filterPort}`,
    ...(options.entry ?? []),
  ];
  const reinject = [...particular.reinject, ...(options.reinject ?? [])];
  const hidden = 'regexp:{ { /^Received:/ IGNORE }, { /^Subject:/ REPLACE Subject: [...] } }';

  const master = [
    service(`127.0.0.1:${options.entryPort}`, 'inet', 'n', direction === 'outgoing' ? 5000 : '-', 'smtpd', entry),
    service(`127.0.0.1:${options.reinjectPort}`, 'inet', 'n', 100, 'smtpd', reinject),
    service('cleanup', 'unix', 'n', 0, 'cleanup'),
    service('authclean', 'unix', 'n', 0, 'cleanup', [`header_checks=${hidden}`]),
    'qmgr unix n - n 300 1 qmgr',
    service('rewrite', 'unix', '-', '-', 'trivial-rewrite'),
    ...['bounce', 'defer', 'trace'].map(name => service(name, 'unix', '-', 0, 'bounce')),
    ...['error', 'retry'].map(name => service(name, 'unix', '-', '-', 'error')),
    service('flush', 'unix', 'n', 0, 'flush'),
    service('proxymap', 'unix', '-', '-', 'proxymap'),
    ...['smtp', 'lmtp'].map(name => service(name, 'unix', '-', '-', name)),
    service('anvil', 'unix', '-', 1, 'anvil'),
    service('scache', 'unix', '-', 1, 'scache'),
    service('postlog', 'unix-dgram', 'n', 1, 'postlogd'),
    ...(options.services ?? []),
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
