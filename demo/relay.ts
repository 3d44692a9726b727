/** A little relay on loopback: a chatmail.ini in a temporary directory, stand-ins for its Postfix, and the real filter. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'ini';
import type { DnsServer } from '../test/peers/dns-server.ts';
import { Filter, type Mode } from './filter.ts';
import { KeptMail } from './kept.ts';
import { freePorts } from './ports.ts';
import { Postfix } from './postfix.ts';

/** Low enough to be exceeded here at once, with 10 s until the next message may pass. */
export const burst = 5;
const perMinute = 6;

/** The modes that give their mail to the relay's own Postfix. */
export type Checking = Exclude<Mode, 'transport'>;

/** Where the filter listens: over SMTP or LMTP, and over HTTP in the mode incoming. */
type Ports = Readonly<Record<Mode | 'http', number>>;

export type RelayOptions = Readonly<{
  domain: string;
  /** Of the loopback network; the filter and its Postfix have no other. */
  address: string;
  /** The resolver that it asks. */
  dns: DnsServer;
  /** More for its chatmail.ini. */
  params?: Readonly<Record<string, string | number>>;
}>;

type Site = Readonly<{ directory: string; ports: Ports; postfix: Readonly<Record<Checking, Postfix>> }>;

export class Relay implements AsyncDisposable {
  readonly domain: string;
  readonly directory: string;
  /** The path of chatmail.ini. */
  readonly config: string;
  readonly ports: Ports;
  /** Takes what the filter lets pass, in each mode on a port of its own. */
  readonly postfix: Readonly<Record<Checking, Postfix>>;
  readonly kept: KeptMail;
  readonly filters: Filter[] = [];
  /** What is to be undone, the last first. */
  readonly #undo = new AsyncDisposableStack();

  private constructor(domain: string, { directory, ports, postfix }: Site) {
    this.domain = domain;
    this.directory = directory;
    this.config = join(directory, 'chatmail.ini');
    this.ports = ports;
    this.postfix = postfix;
    this.kept = new KeptMail(directory);
  }

  static async open(options: RelayOptions): Promise<Relay> {
    await using undo = new AsyncDisposableStack();
    const { domain: name, address } = options;
    const directory = mkdtempSync(join(tmpdir(), 'filtermail-demo-'));
    undo.defer(() => rmSync(directory, { recursive: true, force: true }));
    const postfix = {
      outgoing: undo.use(await Postfix.listen({ name, address })),
      incoming: undo.use(await Postfix.listen({ name, address })),
    };
    const [outgoing = 0, incoming = 0, http = 0, transport = 0] = await freePorts(address, 4);
    const relay = new Relay(name, { directory, postfix, ports: { outgoing, incoming, http, transport } });
    relay.#configure(options);
    relay.#undo.use(undo.move());
    return relay;
  }

  /** Starts the filter in one mode; it is stopped with the relay. */
  startFilter(mode: Mode, environment: NodeJS.ProcessEnv = {}): Filter {
    const filter = this.#undo.use(new Filter(this.config, mode, environment));
    this.filters.push(filter);
    return filter;
  }

  /** Makes a mailbox with the given files, by which the filter knows what it takes. */
  makeMailbox(address: string, files: readonly string[] = []): void {
    const mailbox = join(this.#mailboxes, address);
    mkdirSync(mailbox);
    for (const file of files) writeFileSync(join(mailbox, file), '');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }

  get #mailboxes(): string {
    return join(this.directory, 'mailboxes');
  }

  #configure({ address, dns, params: more }: RelayOptions): void {
    const spool = join(this.directory, 'spool');
    mkdirSync(this.#mailboxes);
    mkdirSync(spool);
    const params = {
      mail_domain: this.domain,
      filtermail_host: address,
      postfix_host: address,
      filtermail_smtp_port: this.ports.outgoing,
      filtermail_smtp_port_incoming: this.ports.incoming,
      filtermail_http_port_incoming: this.ports.http,
      filtermail_lmtp_port_transport: this.ports.transport,
      postfix_reinject_port: this.postfix.outgoing.port,
      postfix_reinject_port_incoming: this.postfix.incoming.port,
      max_user_send_per_minute: perMinute,
      max_user_send_burst_size: burst,
      mailboxes_dir: this.#mailboxes,
      filtermail_spool_dir: spool,
      filtermail_rejected_dir: this.kept.directory,
      filtermail_dns_servers: dns.address,
      ...more,
    };
    writeFileSync(this.config, stringify({ params }, { whitespace: true }));
  }
}
