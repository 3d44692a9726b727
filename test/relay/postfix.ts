// A private instance of the installed Postfix: its own configuration, queue and data under a temporary directory, loopback
// ports, no chroot. The system's instance is not touched.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdtempSync, readdirSync, rmSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { undoAtExit } from './leftovers.ts';
import { Lines } from './lines.ts';
import { configure, layOut, type PostfixOptions } from './postfix-setup.ts';

const daemons = '/usr/lib/postfix/sbin';

/** Why there can be no Postfix here; undefined when there can. */
export function whyNoPostfix(): string | undefined {
  try {
    accessSync(join(daemons, 'master'), constants.X_OK);
  } catch {
    return 'Postfix is not installed (as root: sh scripts/debian.sh postfix)';
  }
  return process.getuid?.() === 0 ? undefined : "Postfix's master runs as root only";
}

export class Postfix {
  readonly directory = mkdtempSync(join(tmpdir(), 'filtermail-postfix-'));
  readonly log: Lines;
  readonly #endLog: () => void;
  readonly #forget: () => void;
  #master: ChildProcess | undefined;
  #closed: Promise<unknown> = Promise.resolve();

  private constructor(options: PostfixOptions) {
    this.#forget = undoAtExit(() => {
      this.#signal('SIGKILL');
      this.#remove();
    });
    layOut(this.directory);
    configure(this.directory, options);
    [this.log, this.#endLog] = Lines.follow(join(this.directory, 'maillog'));
  }

  static async start(options: PostfixOptions): Promise<Postfix> {
    const postfix = new Postfix(options);
    try {
      await postfix.start();
    } catch (error) {
      await postfix.end();
      throw error;
    }
    return postfix;
  }

  /** Once this has returned, the ports are bound. */
  async start(): Promise<void> {
    // A session, thus a process group, of its own: whatever master starts can be signalled with it.
    const master = spawn(join(daemons, 'master'), ['-s', '-c', join(this.directory, 'etc')], {
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    this.#master = master;
    // All daemons inherit the standard output: closed means that the last one is gone and the ports are free.
    this.#closed = once(master, 'close');
    const from = this.log.mark;
    const ended = once(master, 'exit').then(() => {
      throw new Error(`Postfix ended at once:\n${this.log.since(from).join('\n')}`);
    });
    await Promise.race([this.log.find(/master\[\d+\]: daemon started/, from), ended]);
    ended.catch(() => undefined); // from here on `stop` tells
  }

  async stop(): Promise<void> {
    this.#master?.kill('SIGTERM');
    await this.#closed;
    this.#master = undefined;
  }

  /** Stops it and removes all it left. */
  async end(): Promise<void> {
    await this.stop();
    this.#endLog();
    this.#remove();
    this.#forget();
  }

  /** Resolves when every accepted message has been passed on to the sink. */
  async idle(withinMs = 30_000): Promise<void> {
    const stages = ['incoming', 'active', 'deferred'].map(stage => join(this.directory, 'queue', stage));
    // In the order messages go through them, so that none slips by while it moves on.
    const queued = () => stages.flatMap(stage => readdirSync(stage, { recursive: true, encoding: 'utf8' }));
    const changed = new AbortController();
    try {
      await new Promise<void>((resolve, reject) => {
        const late = () => reject(new Error(`still queued: ${queued()}\n${this.log.all.slice(-30).join('\n')}`));
        const timer = setTimeout(late, withinMs);
        changed.signal.addEventListener('abort', () => clearTimeout(timer));
        const look = () => queued().length === 0 && resolve();
        for (const stage of stages) watch(stage, { signal: changed.signal }, look);
        look();
      });
    } finally {
      changed.abort();
    }
  }

  #signal(signal: NodeJS.Signals): void {
    const pid = this.#master?.pid;
    if (!pid) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // It is gone already.
    }
  }

  #remove(): void {
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}
