/** SMTP connections between two messages: kept by host for a minute, the youngest used first, the longest idle closed when they are many. */
import type { SmtpClient } from './smtp-client.ts';

export type Connection = Readonly<{ client: SmtpClient; address: string; tls: string }>;

type Entry = Readonly<{ key: string; connection: Connection; timer: NodeJS.Timeout }>;

const idleTime = 60_000;
/** As many as deliveries run at once to a destination. */
const maxEach = 4;
/** One of these takes about 70 KiB. */
const maxIdle = 128;

export class IdleConnections {
  /** The longest idle first. */
  readonly #entries = new Set<Entry>();

  get size(): number {
    return this.#entries.size;
  }

  /** A connection with that key, null when there is none that still stands. */
  take(key: string): Connection | null {
    for (const entry of [...this.#entries].filter(({ key: other }) => other === key).reverse()) {
      this.#drop(entry);
      if (entry.connection.client.usable) return entry.connection;
    }
    return null;
  }

  /** Keeps a connection whose last transaction is over. */
  keep(key: string, connection: Connection): void {
    const { client } = connection;
    const same = [...this.#entries].filter(({ key: other }) => other === key).length;
    if (!client.usable || same >= maxEach) {
      client.quit();
      return;
    }
    const entry: Entry = { key, connection, timer: setTimeout(() => this.#close(entry), idleTime) };
    this.#entries.add(entry);
    const [longest] = this.#entries;
    if (this.#entries.size > maxIdle && longest !== undefined) this.#close(longest);
  }

  close(): void {
    for (const entry of this.#entries) this.#close(entry);
  }

  #drop(entry: Entry): void {
    clearTimeout(entry.timer);
    this.#entries.delete(entry);
  }

  #close(entry: Entry): void {
    this.#drop(entry);
    entry.connection.client.quit();
  }
}
