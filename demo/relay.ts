/** A little relay on loopback: a chatmail.ini in a temporary directory, stand-ins for Postfix and for DNS, and the real filter. */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'ini';
import { DnsServer } from '../test/peers/dns-server.ts';
import { Filter, type Mode } from './filter.ts';
import { KeptMail } from './kept.ts';
import { Postfix } from './postfix.ts';
import type { Traces } from './scene.ts';

export const domain = 'chat.example';

/** Low enough to be exceeded here at once, with 10 s until the next message may pass. */
export const burst = 5;
const perMinute = 6;

/** Where the filter listens: over SMTP in either mode, and over HTTP in the mode incoming. */
type Ports = Readonly<Record<Mode | 'http', number>>;

type Surroundings = Readonly<{ dns: DnsServer; postfix: Readonly<Record<Mode, Postfix>>; ports: Ports }>;

export class Relay implements AsyncDisposable {
  readonly directory: string;
  /** The path of chatmail.ini. */
  readonly config: string;
  readonly ports: Ports;
  readonly dns: DnsServer;
  /** Takes what the filter lets pass, in each mode on a port of its own. */
  readonly postfix: Readonly<Record<Mode, Postfix>>;
  readonly kept: KeptMail;
  readonly filters: Filter[] = [];
  /** What is to be undone, the last first. */
  readonly #undo = new AsyncDisposableStack();

  private constructor(directory: string, { dns, postfix, ports }: Surroundings) {
    this.directory = directory;
    this.config = join(directory, 'chatmail.ini');
    this.ports = ports;
    this.dns = dns;
    this.postfix = postfix;
    this.kept = new KeptMail(directory);
  }

  static async open(): Promise<Relay> {
    await using undo = new AsyncDisposableStack();
    const directory = mkdtempSync(join(tmpdir(), 'filtermail-demo-'));
    undo.defer(() => rmSync(directory, { recursive: true, force: true }));
    const dns = undo.use(await DnsServer.listen());
    const postfix = {
      outgoing: undo.use(await Postfix.listen(domain)),
      incoming: undo.use(await Postfix.listen(domain)),
    };
    const [outgoing, incoming, http] = await freePorts();
    const relay = new Relay(directory, { dns, postfix, ports: { outgoing, incoming, http } });
    relay.#configure();
    relay.#undo.use(undo.move());
    return relay;
  }

  /** Starts the filter in one mode; it is stopped with the relay. */
  startFilter(mode: Mode): Filter {
    const filter = this.#undo.use(new Filter(this.config, mode));
    this.filters.push(filter);
    return filter;
  }

  /** Makes a mailbox with the given files, by which the filter knows what it takes. */
  makeMailbox(address: string, files: readonly string[] = []): void {
    const mailbox = join(this.#mailboxes, address);
    mkdirSync(mailbox);
    for (const file of files) writeFileSync(join(mailbox, file), '');
  }

  /** What the filter did with the mail of one mode since the last call. */
  traces(mode: Mode): Traces {
    return { arrivals: this.postfix[mode].take(), kept: this.kept.take() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }

  get #mailboxes(): string {
    return join(this.directory, 'mailboxes');
  }

  #configure(): void {
    const spool = join(this.directory, 'spool');
    mkdirSync(this.#mailboxes);
    mkdirSync(spool);
    const params = {
      mail_domain: domain,
      filtermail_smtp_port: this.ports.outgoing,
      filtermail_smtp_port_incoming: this.ports.incoming,
      filtermail_http_port_incoming: this.ports.http,
      postfix_reinject_port: this.postfix.outgoing.port,
      postfix_reinject_port_incoming: this.postfix.incoming.port,
      max_user_send_per_minute: perMinute,
      max_user_send_burst_size: burst,
      mailboxes_dir: this.#mailboxes,
      filtermail_spool_dir: spool,
      filtermail_rejected_dir: this.kept.directory,
      filtermail_dns_servers: this.dns.address,
    };
    writeFileSync(this.config, stringify({ params }, { whitespace: true }));
  }
}

/**
 * Loopback ports that nobody listens on, below the range from which the system takes the ports of outgoing connections:
 * one of those could take it before the filter does.
 */
async function freePorts(): Promise<[number, number, number]> {
  const first = 10_240 + Math.floor(Math.random() * 20_000);
  const ports = [first, first + 1, first + 2] as [number, number, number];
  for (const port of ports) if (!(await isFree(port))) return await freePorts();
  return ports;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
