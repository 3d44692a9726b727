/**
 * Connections to one server: at most so many at a time, idle ones kept for a short while and the youngest used first. Who finds none
 * free waits in order.
 */
import type { SmtpClient } from './smtp-client.ts';

export type PoolOptions = Readonly<{
  /** Makes a connection; it may still be connecting. */
  connect: () => SmtpClient;
  limit: number;
  /** Milliseconds that a connection may stay idle. */
  idleTime: number;
}>;

/** A place in the pool: a connection and whether it has served before, so that it may have gone stale. */
export type Lease = { client: SmtpClient; reused: boolean };

export class ConnectionPool {
  readonly #options: PoolOptions;
  #inUse = 0;
  readonly #idle: { client: SmtpClient; timer: NodeJS.Timeout }[] = [];
  readonly #waiting: (() => void)[] = [];

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Leases a connection, waiting for one while all are in use; null when `signal` aborts first. */
  async acquire(signal: AbortSignal): Promise<Lease | null> {
    if (signal.aborted || !(await this.#place(signal))) return null;
    for (let entry = this.#idle.pop(); entry !== undefined; entry = this.#idle.pop()) {
      clearTimeout(entry.timer);
      if (entry.client.usable) return { client: entry.client, reused: true };
      entry.client.abort('stale');
    }
    return { client: this.#options.connect(), reused: false };
  }

  /** Puts a fresh connection in the place of a stale one. */
  renew(lease: Lease): void {
    lease.client.abort('stale');
    lease.client = this.#options.connect();
    lease.reused = false;
  }

  /** Takes a connection back: `keep` it for the next transaction, or let it go. */
  release({ client }: Lease, keep: boolean): void {
    if (keep && client.usable) {
      const timer = setTimeout(() => this.#expire(client), this.#options.idleTime);
      this.#idle.push({ client, timer });
    } else client.quit();
    const next = this.#waiting.shift();
    if (next === undefined) this.#inUse--;
    else next();
  }

  /** Ends the idle connections. */
  close(): void {
    for (const { client, timer } of this.#idle.splice(0)) {
      clearTimeout(timer);
      client.quit();
    }
  }

  #expire(client: SmtpClient): void {
    const index = this.#idle.findIndex(entry => entry.client === client);
    if (index >= 0) this.#idle.splice(index, 1);
    client.quit();
  }

  /** Takes a free place, or the next one that is given back; false when `signal` aborts first. */
  #place(signal: AbortSignal): boolean | Promise<boolean> {
    if (this.#inUse < this.#options.limit) {
      this.#inUse++;
      return true;
    }
    return new Promise(resolve => {
      const take = () => {
        signal.removeEventListener('abort', giveUp);
        resolve(true);
      };
      const giveUp = () => {
        this.#waiting.splice(this.#waiting.indexOf(take), 1);
        resolve(false);
      };
      this.#waiting.push(take);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }
}
