/**
 * The relay that is shown and what is around it, on loopback, each host with an address of its own: DNS, a relay that takes mail by
 * HTTPS, a mail server that knows SMTP only, and a host where nobody listens.
 */
import { spawnSync } from 'node:child_process';
import { Authority } from '../test/peers/authority.ts';
import { DnsServer } from '../test/peers/dns-server.ts';
import type { Mode } from './filter.ts';
import { Front } from './front.ts';
import { Postfix } from './postfix.ts';
import { Relay } from './relay.ts';
import type { Traces } from './scene.ts';

export const domain = 'chat.example';
export const otherDomain = 'other.example';
export const classicDomain = 'classic.example';
export const deadDomain = 'dead.example';
/** Of the domain without HTTPS: nobody's address. */
export const unknownUser = `nobody@${classicDomain}`;

/** By domain; mail hosts have the name `mx`. */
const addresses = {
  [domain]: '127.0.0.1',
  [otherDomain]: '127.0.0.2',
  [classicDomain]: '127.0.0.3',
  [deadDomain]: '127.0.0.4',
} as const;

const mx = (of: string) => `mx.${of}`;

type Parts = Pick<World, 'dns' | 'relay' | 'other' | 'classic'>;

export class World implements AsyncDisposable {
  readonly dns: DnsServer;
  /** The relay that is shown. */
  readonly relay: Relay;
  readonly other: Relay;
  readonly classic: Postfix;
  readonly #authority: Authority;
  /** What is to be undone, the last first. */
  readonly #undo = new AsyncDisposableStack();

  private constructor({ dns, relay, other, classic }: Parts, authority: Authority) {
    this.dns = dns;
    this.relay = relay;
    this.other = other;
    this.classic = classic;
    this.#authority = authority;
  }

  static async open(): Promise<World> {
    await using undo = new AsyncDisposableStack();
    const dns = undo.use(await DnsServer.listen());
    publishHosts(dns);
    const authority = undo.use(makeAuthority());
    const classic = undo.use(
      await Postfix.listen({
        name: mx(classicDomain),
        address: addresses[classicDomain],
        certificate: authority.issue([mx(classicDomain)]),
        unknown: [unknownUser],
      }),
    );
    const host = addresses[otherDomain];
    const other = undo.use(await Relay.open({ domain: otherDomain, address: host, dns }));
    const certificate = authority.issue([mx(otherDomain)]);
    const front = undo.use(await Front.listen(certificate, { host, port: other.ports.http }));
    const params = { filtermail_remote_smtp_port: classic.port, filtermail_remote_https_port: front.port };
    const relay = undo.use(await Relay.open({ domain, address: addresses[domain], dns, params }));
    const world = new World({ dns, relay, other, classic }, authority);
    world.#undo.use(undo.move());
    return world;
  }

  get relays(): readonly Relay[] {
    return [this.relay, this.other];
  }

  /** Starts the filter that is shown in one mode, and what that needs. */
  async startFilter(mode: Mode): Promise<void> {
    const trust = { NODE_EXTRA_CA_CERTS: this.#authority.path };
    const filters =
      mode === 'transport'
        ? [this.relay.startFilter(mode, trust), this.other.startFilter('incoming')]
        : [this.relay.startFilter(mode)];
    await Promise.all(filters.map(filter => filter.serving()));
  }

  /** Where mail may arrive that passes the filter in one mode. */
  destinations(mode: Mode): readonly Postfix[] {
    return mode === 'transport' ? [this.other.postfix.incoming, this.classic] : [this.relay.postfix[mode]];
  }

  /** What was done with the mail of one mode since the last call. */
  traces(mode: Mode): Traces {
    return {
      arrivals: this.destinations(mode).flatMap(server => server.take()),
      kept: this.relays.flatMap(({ kept }) => kept.take()),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }
}

function publishHosts(dns: DnsServer): void {
  for (const [name, address] of Object.entries(addresses)) {
    dns.mx(name, [{ preference: 10, exchange: mx(name) }]);
    dns.a(mx(name), [address]);
  }
}

function makeAuthority(): Authority {
  if (spawnSync('openssl', ['version']).error) {
    throw new Error('openssl is not installed (as root: sh scripts/debian.sh openssl)');
  }
  return new Authority();
}
