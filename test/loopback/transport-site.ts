/**
 * The transport mode at its work in a world of its own: a name server, an authority that it trusts, and ports for the remote hosts, which
 * a test puts on addresses of the loopback net (127.0.0.2, 127.0.0.3 ...).
 *
 *     const world = await TransportSite.start();
 *     world.host('two.test', '127.0.0.2');                              // MX mx.two.test, which has that address
 *     const replies = await world.deliver(plain('Hello'));              // one a recipient
 */
import assert from 'node:assert/strict';
import { Authority, type Certificate } from '../peers/authority.ts';
import { DnsServer } from '../peers/dns-server.ts';
import { freePort } from '../peers/ports.ts';
import { type TlsSmtpOptions, TlsSmtpServer } from '../peers/tls-smtp-server.ts';
import { Binary } from './binary.ts';
import { Client, type Mail } from './client.ts';
import { plain } from './mail.ts';
import { type Keys, Site } from './site.ts';
import { undoAtEnd } from './tidy.ts';

export type TransportOptions = Readonly<{
  /** Of the remote hosts. By default nobody listens at either. */
  smtpPort?: number;
  httpsPort?: number;
  authority?: Authority;
  dns?: DnsServer;
  keys?: Keys;
  env?: Record<string, string | undefined>;
  /** How much faster than ours its clock runs and its timers end; c-ares and the kernel keep theirs. */
  haste?: number;
}>;

/** A domain with one MX, `host`, on an address of its own, where `server` listens. */
export type Remote = Readonly<{ domain: string; host: string; address: string; server: TlsSmtpServer }>;

/** For an LMTP client that a test scripts itself. */
export type LmtpOptions = Readonly<{ patience?: number }>;

export class TransportSite {
  readonly site: Site;
  readonly dns: DnsServer;
  readonly authority: Authority;
  readonly smtpPort: number;
  readonly httpsPort: number;
  readonly filter: Binary;
  #remotes = 0;
  #certificate: Certificate | null = null;

  private constructor(site: Site, filter: Binary, dns: DnsServer, authority: Authority, ports: [number, number]) {
    this.site = site;
    this.filter = filter;
    this.dns = dns;
    this.authority = authority;
    [this.smtpPort, this.httpsPort] = ports;
  }

  static async start(options: TransportOptions = {}): Promise<TransportSite> {
    const { keys, env, haste = 1 } = options;
    const dns = options.dns ?? (await ownDns());
    const authority = options.authority ?? ownAuthority();
    const smtpPort = options.smtpPort ?? (await freePort());
    const httpsPort = options.httpsPort ?? (await freePort());
    const site = await Site.make(await freePort(), {
      filtermail_dns_servers: dns.address,
      filtermail_remote_smtp_port: smtpPort,
      filtermail_remote_https_port: httpsPort,
      ...keys,
    });
    const { NODE_TEST_CONTEXT: _, ...inherited } = process.env;
    const trusting = { ...inherited, NODE_OPTIONS: optionsFor(haste), NODE_EXTRA_CA_CERTS: authority.path, ...env };
    const filter = await Binary.serve(site, { env: trusting }, 'transport');
    return new TransportSite(site, filter, dns, authority, [smtpPort, httpsPort]);
  }

  /** Publishes `mx.<domain>` as the only MX of a domain, with these IPv4 or IPv6 addresses; returns that name. */
  host(domain: string, ...addresses: readonly string[]): string {
    const name = `mx.${domain}`;
    this.dns.mx(domain, [{ preference: 10, exchange: name }]);
    this.address(name, ...addresses);
    return name;
  }

  /** Publishes the addresses of a host. */
  address(name: string, ...addresses: readonly string[]): void {
    const four = addresses.filter(address => !address.includes(':'));
    const six = addresses.filter(address => address.includes(':'));
    this.dns.a(name, four.length > 0 ? four : 'NODATA');
    this.dns.aaaa(name, six.length > 0 ? six : 'NODATA');
  }

  /** A certificate for all hosts that `remote` makes. */
  get certificate(): Certificate {
    this.#certificate ??= this.authority.issue(['*.hosts.test']);
    return this.#certificate;
  }

  /** An address of the loopback net that no other remote of this site has. */
  freeAddress(): string {
    this.#remotes++;
    return `127.1.${Math.floor(this.#remotes / 250)}.${1 + (this.#remotes % 250)}`;
  }

  /** A server with a good certificate as `mxN.hosts.test`, the only MX of `nN.test` where `options` do not name the domain. */
  async remote(options: TlsSmtpOptions & { domain?: string } = {}): Promise<Remote> {
    const address = this.freeAddress();
    const host = `mx${this.#remotes}.hosts.test`;
    const domain = options.domain ?? `n${this.#remotes}.test`;
    const server = await TlsSmtpServer.at(address, this.smtpPort, { certificate: this.certificate, ...options });
    undoAtEnd(() => void server.close());
    this.address(host, address);
    this.dns.mx(domain, [{ preference: 10, exchange: host }]);
    return { domain, host, address, server };
  }

  /** The first line about a domain behind `mark` in the log that tells what became of mail. */
  async told(domain: string, mark = 0): Promise<string> {
    const name = RegExp.escape(domain);
    return await this.filter.log.find(
      new RegExp(`Transport: (?:.* to "?${name}"?,|deferred mail to "?${name}"?:)`),
      mark,
    );
  }

  /** A connection that has said LHLO. */
  async lmtp(): Promise<Client> {
    return await greetLmtp(this.site.lmtpPort);
  }

  /** Delivers over a connection of its own: one reply a recipient, in their order. */
  async deliver(mail: Mail, options?: LmtpOptions): Promise<string[]> {
    return await deliver(this.site.lmtpPort, mail, options);
  }

  /** For a single recipient: its reply. */
  async answer(mail: Mail, options?: LmtpOptions): Promise<string> {
    const [reply = '', ...more] = await this.deliver(mail, options);
    assert.deepEqual(more, [], 'one recipient');
    return reply;
  }

  /** What a plain message to somebody of that domain is answered. */
  async answerFrom(domain: string, parameters = ''): Promise<string> {
    return await this.answer({ ...plain('Hello', 'a@one.test', [`u@${domain}`]), parameters });
  }

  /** Publishes the MXs of a domain in the order of their preferences. */
  route(domain: string, ...hosts: readonly string[]): void {
    this.dns.mx(
      domain,
      hosts.map((exchange, index) => ({ preference: 10 * index, exchange })),
    );
  }
}

export async function greetLmtp(port: number): Promise<Client> {
  const client = await Client.connect(port);
  assert.match(await client.reply(), /^220 \S+ filtermail LMTP/);
  assert.match(await client.ask('LHLO postfix.test'), /^250-/);
  return client;
}

/** One message over an LMTP connection of its own: one reply a recipient, in their order, refusals of MAIL, RCPT and DATA included. */
export async function deliver(port: number, mail: Mail, options?: LmtpOptions): Promise<string[]> {
  const client = await greetLmtp(port);
  const replies = await deliverOver(client, mail, options);
  await client.quit();
  return replies;
}

/** The same over a connection that stands. */
export async function deliverOver(
  client: Client,
  { from, to, wire, parameters = '' }: Mail,
  { patience }: LmtpOptions = {},
): Promise<string[]> {
  const mail = await client.ask(`MAIL FROM:<${from}>${parameters}`);
  if (!mail.startsWith('250 ')) return to.map(() => mail);
  const replies: string[] = [];
  for (const recipient of to) replies.push(await client.ask(`RCPT TO:<${recipient}>`));
  const data = await client.ask('DATA');
  const taken = [...replies.keys()].filter(index => replies[index]?.startsWith('250 '));
  if (!data.startsWith('354 ')) {
    for (const index of taken) replies[index] = data;
    return replies;
  }
  void client.write(wire);
  for (const index of taken) replies[index] = await client.reply(patience);
  return replies;
}

function ownAuthority(): Authority {
  const authority = new Authority();
  undoAtEnd(() => authority[Symbol.dispose]());
  return authority;
}

async function ownDns(): Promise<DnsServer> {
  const dns = await DnsServer.listen();
  undoAtEnd(() => void dns[Symbol.asyncDispose]());
  return dns;
}

/** Node's options, of which `node --test` has some that are not for the filter. */
function optionsFor(haste: number): string | undefined {
  if (haste === 1) return undefined;
  const hurry = `
    const { performance, setTimeout, setInterval, process } = globalThis;
    const { now } = performance, { bigint } = process.hrtime;
    performance.now = () => now.call(performance) * ${haste};
    process.hrtime.bigint = () => bigint() * ${haste}n;
    globalThis.setTimeout = (run, time, ...rest) => setTimeout(run, time / ${haste}, ...rest);
    globalThis.setInterval = (run, time, ...rest) => setInterval(run, time / ${haste}, ...rest);`;
  return `--import=data:text/javascript,${encodeURIComponent(hurry)}`;
}
