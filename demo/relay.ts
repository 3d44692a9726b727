/** A little relay on loopback: a chatmail.ini in a temporary directory, a stand-in for Postfix, and the real filter. */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'ini';
import { Filter, type Mode } from './filter.ts';
import { Postfix } from './postfix.ts';

export const domain = 'chat.example';

/** Low enough to be exceeded here at once, with 10 s until the next message may pass. */
export const burst = 5;
const perMinute = 6;

export class Relay implements AsyncDisposable {
  readonly directory: string;
  /** The path of chatmail.ini. */
  readonly config: string;
  readonly postfix: Postfix;
  /** The filter listens here, in the mode outgoing. */
  readonly smtpPort: number;
  readonly filters: Filter[] = [];
  /** What is to be undone, the last first. */
  readonly #undo: AsyncDisposableStack;

  private constructor(directory: string, postfix: Postfix, smtpPort: number, undo: AsyncDisposableStack) {
    this.directory = directory;
    this.config = configPath(directory);
    this.postfix = postfix;
    this.smtpPort = smtpPort;
    this.#undo = undo;
  }

  static async open(): Promise<Relay> {
    await using undo = new AsyncDisposableStack();
    const directory = mkdtempSync(join(tmpdir(), 'filtermail-demo-'));
    undo.defer(() => rmSync(directory, { recursive: true, force: true }));
    const postfix = undo.use(await Postfix.listen(domain));
    const smtpPort = await freePort();
    configure(directory, { filtermail_smtp_port: smtpPort, postfix_reinject_port: postfix.port });
    return new Relay(directory, postfix, smtpPort, undo.move());
  }

  /** Starts the filter in one mode; it is stopped with the relay. */
  startFilter(mode: Mode): Filter {
    const filter = this.#undo.use(new Filter(this.config, mode));
    this.filters.push(filter);
    return filter;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }
}

function configPath(directory: string): string {
  return join(directory, 'chatmail.ini');
}

function configure(directory: string, ports: Readonly<Record<string, number>>): void {
  const folders = { mailboxes_dir: join(directory, 'mailboxes'), filtermail_spool_dir: join(directory, 'spool') };
  for (const folder of Object.values(folders)) mkdirSync(folder);
  const limits = { max_user_send_per_minute: perMinute, max_user_send_burst_size: burst };
  const params = { mail_domain: domain, ...ports, ...limits, ...folders };
  writeFileSync(configPath(directory), stringify({ params }, { whitespace: true }));
}

/**
 * A loopback port that nobody listens on, below the range from which the system takes the ports of outgoing connections:
 * one of those could take it before the filter does.
 */
async function freePort(): Promise<number> {
  const port = 10_240 + Math.floor(Math.random() * 20_000);
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return await freePort();
  }
  server.close();
  await once(server, 'close');
  return port;
}
