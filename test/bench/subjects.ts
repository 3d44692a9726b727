// What stands between smtp-source and smtp-sink: nothing, HAProxy in TCP mode (the floor for anything that touches every octet), the filter.
// In transport mode Postfix's smtp(8) is what the filter is compared with.

import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Bench } from './load.ts';
import { mailDomain } from './messages.ts';
import { Program } from './processes.ts';
import type { TlsSink } from './remotes.ts';
import type { Mode, Scenario } from './scenarios.ts';

export type Subject = 'straight' | 'haproxy' | 'filter' | 'postfix' | 'postfix, TLS kept';

/** Another binary with the same arguments can take the filter's place. */
export const filterCommand = process.env.FILTERMAIL ?? fileURLToPath(new URL('../../bin/filtermail', import.meta.url));

/** `spare`: of the filter's two ports for incoming mail, the one that is not used. */
type Ports = { readonly port: number; readonly spare: number; readonly sink: number };

/** Listens on `port` and passes on to the sink; nothing to start for 'straight'. */
export async function startSubject(
  subject: Subject,
  { mode, carrier }: Pick<Scenario, 'mode' | 'carrier'>,
  ports: Ports,
  bench: Bench,
): Promise<Program | undefined> {
  if (subject === 'straight') return undefined;
  const program = subject === 'haproxy' ? startHaproxy(ports, bench) : startFilter(mode, carrier, ports, bench);
  await program.untilListening(ports.port);
  return program;
}

/** One thread, as the filter: two cost it more CPU for no more speed. */
function startHaproxy(ports: Ports, bench: Bench): Program {
  const config = `${bench.directory}/haproxy.cfg`;
  writeFileSync(
    config,
    `global
  maxconn 4096
  nbthread 1
defaults
  mode tcp
  timeout connect 10s
  timeout client 100s
  timeout server 100s
listen smtp
  bind 127.0.0.1:${ports.port} backlog 1024
  server sink 127.0.0.1:${ports.sink}
`,
  );
  return new Program(bench.programs.haproxy, ['-db', '-f', config], `${bench.directory}/haproxy.log`);
}

function startFilter(mode: Mode, carrier: Scenario['carrier'], ports: Ports, bench: Bench): Program {
  mkdirSync(`${bench.directory}/mailboxes`, { recursive: true });
  const smtpKey = mode === 'incoming' ? 'filtermail_smtp_port_incoming' : 'filtermail_smtp_port';
  const [listening, spare] =
    carrier === 'HTTP' ? ['filtermail_http_port_incoming', smtpKey] : [smtpKey, 'filtermail_http_port_incoming'];
  return runFilter(mode, bench, {
    mailboxes_dir: `${bench.directory}/mailboxes`,
    [listening]: ports.port,
    [spare]: ports.spare,
    postfix_reinject_port: ports.sink,
    postfix_reinject_port_incoming: ports.sink,
    filtermail_rejected_dir: `${bench.directory}/rejected`,
    max_user_send_per_minute: 1_000_000,
    max_user_send_burst_size: 1_000_000,
  });
}

/** Listens on `port` and delivers to the sink. */
export async function startTransport(port: number, { smtpPort, httpsPort }: TlsSink, bench: Bench): Promise<Program> {
  const ports = {
    filtermail_lmtp_port_transport: port,
    filtermail_remote_smtp_port: smtpPort,
    filtermail_remote_https_port: httpsPort,
  };
  const program = runFilter('transport', bench, ports, { NODE_EXTRA_CA_CERTS: bench.remotes.authorityPath });
  await program.untilListening(port);
  return program;
}

function runFilter(
  mode: Mode,
  { directory, dnsServer }: Bench,
  params: Readonly<Record<string, string | number>>,
  env?: NodeJS.ProcessEnv,
): Program {
  const config = writeConfig(directory, {
    mail_domain: mailDomain,
    filtermail_dns_servers: dnsServer,
    max_message_size: 50_000_000,
    filtermail_spool_dir: directory,
    ...params,
  });
  return new Program(filterCommand, [config, mode], `${directory}/filter.log`, env);
}

/** The path of the file. */
export function writeConfig(directory: string, params: Readonly<Record<string, string | number>>): string {
  const config = `${directory}/chatmail.ini`;
  const lines = Object.entries(params).map(([key, value]) => `${key} = ${value}\n`);
  writeFileSync(config, `[params]\n${lines.join('')}`);
  return config;
}
