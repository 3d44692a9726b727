// What stands between smtp-source and smtp-sink: nothing, HAProxy in TCP mode (the floor for anything that touches every octet), the filter.

import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Bench } from './load.ts';
import { mailDomain } from './messages.ts';
import { Program } from './processes.ts';
import type { Mode, Scenario } from './scenarios.ts';

export const subjects = ['straight', 'haproxy', 'filter'] as const;
export type Subject = (typeof subjects)[number];

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
  const config = `${bench.directory}/chatmail.ini`;
  mkdirSync(`${bench.directory}/mailboxes`, { recursive: true });
  const smtpKey = mode === 'incoming' ? 'filtermail_smtp_port_incoming' : 'filtermail_smtp_port';
  const [listening, spare] =
    carrier === 'HTTP' ? ['filtermail_http_port_incoming', smtpKey] : [smtpKey, 'filtermail_http_port_incoming'];
  writeFileSync(
    config,
    `[params]
mail_domain = ${mailDomain}
mailboxes_dir = ${bench.directory}/mailboxes
${listening} = ${ports.port}
${spare} = ${ports.spare}
postfix_reinject_port = ${ports.sink}
postfix_reinject_port_incoming = ${ports.sink}
filtermail_dns_servers = ${bench.dnsServer}
filtermail_rejected_dir = ${bench.directory}/rejected
max_message_size = 50000000
max_user_send_per_minute = 1000000
max_user_send_burst_size = 1000000
filtermail_spool_dir = ${bench.directory}
`,
  );
  return new Program(filterCommand, [config, mode], `${bench.directory}/filter.log`);
}
