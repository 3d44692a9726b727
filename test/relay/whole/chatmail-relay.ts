// A chatmail relay in a host of its own.

import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Certificate } from '../../peers/authority.ts';
import { Accounts } from './accounts.ts';
import { dovecotFiles } from './dovecot-files.ts';
import { checkoutInHost, type Host } from './host.ts';
import type { Addresses } from './network.ts';
import { chatmailIni, nginxFiles, opendkimFiles, selector, unboundFiles } from './other-files.ts';
import { certificate as certificatePaths, maillog, postfixFiles } from './postfix-files.ts';
import { type Program, Service } from './service.ts';

const filter = '/usr/local/bin/filtermail';
const config = '/usr/local/lib/chatmaild/chatmail.ini';
const milter = '/var/spool/postfix/opendkim/opendkim.sock';

export const modes = ['outgoing', 'incoming', 'transport'] as const;
export type Mode = (typeof modes)[number];
const others = ['unbound', 'opendkim', 'dovecot', 'postfix', 'nginx'] as const;
type Name = Mode | (typeof others)[number];

export type Place = Readonly<{ domain: string; addresses: Addresses }>;

/** What makes a relay, before the resolvers of all know it. */
export class Plan {
  readonly place: Place;
  readonly #key = generateKeyPairSync('rsa', { modulusLength: 2048 });

  constructor(place: Place) {
    this.place = place;
  }

  get privateKey(): string {
    return this.#key.privateKey.export({ format: 'pem', type: 'pkcs1' }).toString();
  }

  /** What it publishes in DNS. */
  get records(): string[] {
    const { domain, addresses } = this.place;
    const key = this.#key.publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
    const strings = `v=DKIM1; k=rsa; p=${key}; s=email; t=s`.match(/.{1,250}/g) ?? [];
    return [
      `${domain}. MX 10 ${domain}.`,
      `${domain}. A ${addresses.ipv4}`,
      `${domain}. AAAA ${addresses.ipv6}`,
      `mta-sts.${domain}. A ${addresses.ipv4}`,
      `_mta-sts.${domain}. TXT "v=STSv1; id=20261121"`,
      `${selector}._domainkey.${domain}. TXT ${strings.map(text => `"${text}"`).join(' ')}`,
    ];
  }
}

export type Setup = Readonly<{
  plan: Plan;
  /** Of all relays. */
  records: readonly string[];
  certificate: Certificate;
  /** What clients trust, in PEM. */
  authority: string;
  /** The filter, as the host finds it. */
  program: string;
  settings?: Readonly<Record<string, string | number>>;
}>;

/** Its programs end with the host. */
export class ChatmailRelay implements AsyncDisposable {
  readonly host: Host;
  readonly domain: string;
  readonly accounts: Accounts;
  readonly #services: Readonly<Record<Name, Service>>;

  private constructor(host: Host, domain: string, accounts: Accounts, services: Record<Name, Service>) {
    this.host = host;
    this.domain = domain;
    this.accounts = accounts;
    this.#services = services;
  }

  static async start(host: Host, setup: Setup): Promise<ChatmailRelay> {
    const { domain } = setup.plan.place;
    const mailboxes = `/home/vmail/mail/${domain}`;
    await host.run(['sh', '-c', 'id vmail || useradd --user-group --home-dir /home/vmail vmail']);
    await host.run(['usermod', '--append', '--groups', 'opendkim', 'postfix']);
    await host.run(['install', '-d', '-o', 'vmail', '-g', 'vmail', '-m', '755', '/home/vmail/mail', mailboxes]);
    await host.write({
      ...postfixFiles(domain),
      ...dovecotFiles(mailboxes),
      ...nginxFiles(domain),
      ...opendkimFiles(domain, setup.plan.privateKey),
      ...unboundFiles(setup.records),
      ...chatmailIni(domain, setup.settings ?? {}),
      '/etc/ssl/certs/ca-certificates.crt': setup.authority,
      [certificatePaths.cert]: setup.certificate.cert,
      [certificatePaths.key]: setup.certificate.key,
    });
    await host.run(['install', '-d', '-o', 'opendkim', '-g', 'postfix', '-m', '750', '/var/spool/postfix/opendkim']);
    await host.run(['chown', '-R', 'opendkim', '/etc/dkimkeys']);
    await host.run(['chmod', '-R', 'go=', '/etc/dkimkeys']);
    await host.run(['/usr/lib/postfix/configure-instance.sh', '-']);
    await install(host, setup.program);

    const accounts = await Accounts.start(host, domain, mailboxes);
    const start = (name: Name) => Service.start(host, programs[name]);
    // As a relay boots: what others need comes first.
    const unbound = await start('unbound');
    const [opendkim, dovecot, nginx, outgoing, incoming, transport] = await Promise.all(
      (['opendkim', 'dovecot', 'nginx', ...modes] as const).map(start),
    );
    const postfix = await start('postfix');
    const services = { unbound, opendkim, dovecot, nginx, outgoing, incoming, transport, postfix };
    return new ChatmailRelay(host, domain, accounts, services as Record<Name, Service>);
  }

  service(name: Name): Service {
    return this.#services[name];
  }

  /** What one mode of the filter has logged. */
  get log(): Readonly<Record<Mode, Service['log']>> {
    const { outgoing, incoming, transport } = this.#services;
    return { outgoing: outgoing.log, incoming: incoming.log, transport: transport.log };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.accounts[Symbol.asyncDispose]();
  }
}

const programs: Readonly<Record<Name, Program>> = {
  unbound: { name: 'unbound', argv: ['unbound', '-d', '-c', '/etc/unbound/unbound.conf'], ready: /start of service/ },
  opendkim: { name: 'opendkim', argv: ['opendkim', '-f', '-x', '/etc/opendkim.conf'], ready: milter },
  dovecot: { name: 'dovecot', argv: ['dovecot', '-F'], ready: /starting up/ },
  postfix: { name: 'postfix', argv: ['postfix', 'start-fg'], ready: /daemon started/, log: maillog },
  nginx: { name: 'nginx', argv: ['nginx', '-e', 'stderr'], ready: /start worker process / },
  ...(Object.fromEntries(modes.map(mode => [mode, filtermail(mode)])) as Record<Mode, Program>),
};

/** As chatmail's units start it. */
function filtermail(mode: Mode): Program {
  return {
    name: `filtermail ${mode}`,
    argv: ['setpriv', '--reuid=vmail', '--regid=vmail', '--clear-groups', filter, config, mode],
    // A checkout that others than its owner cannot write to has no place for Node's cache.
    env: { RUST_LOG: 'info', NODE_COMPILE_CACHE: '/tmp/compile-cache', HOME: '/home/vmail' },
    ready: /entering serving loop/,
  };
}

/** A program of this checkout needs what is beside it; another one is alone. */
async function install(host: Host, program: string): Promise<void> {
  if (program.startsWith(`${checkoutInHost}/`)) {
    await host.run(['ln', '-sf', program, filter]);
    return;
  }
  const copy = host.spawn(['sh', '-c', 'rm -f "$0"; cat >"$0" && chmod 755 "$0"', filter]);
  const closed = once(copy, 'close');
  await pipeline(createReadStream(program), copy.stdin);
  await closed;
}
