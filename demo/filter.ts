/** The real filter as a child process. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

export type Mode = 'incoming' | 'outgoing' | 'transport';

/** The one of this tree, or another: `FILTERMAIL=/usr/bin/filtermail npm start`. */
const binary = process.env.FILTERMAIL ?? fileURLToPath(new URL('../bin/filtermail', import.meta.url));

/** More than the filter takes to finish its transactions when it is told to stop. */
const patience = 15_000;

export class Filter extends EventEmitter<{ line: [string] }> implements AsyncDisposable {
  /** What it logged, line by line. */
  readonly log: string[] = [];
  /** Settles when the process has ended and its log is complete; tells how it ended. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcessByStdio<null, null, Readable>;

  constructor(config: string, mode: Mode, environment: NodeJS.ProcessEnv = {}) {
    super();
    // Level info, whatever the caller's is: the line that tells that it is ready is of that level.
    const env = { ...process.env, ...environment, RUST_LOG: 'info' };
    this.#child = spawn(binary, [config, mode], { stdio: ['ignore', 'ignore', 'pipe'], env });
    this.ended = new Promise(resolve => {
      this.#child.once('error', ({ message }) => resolve(message));
      this.#child.once('close', (code, signal) => resolve(signal ?? `exit status ${code}`));
    });
    createInterface({ input: this.#child.stderr }).on('line', line => {
      this.log.push(line);
      this.emit('line', line);
    });
  }

  /** Waits until it serves; rejects with its own words when it does not start. */
  async serving(): Promise<void> {
    const serves = new Promise<void>(resolve => {
      this.on('line', line => {
        if (line.includes('entering serving loop')) resolve();
      });
    });
    const end = await Promise.race([serves, this.ended]);
    if (end !== undefined) throw new Error([`the filter did not start (${end}):`, ...this.log].join('\n  '));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGTERM');
    const last = setTimeout(() => this.#child.kill('SIGKILL'), patience);
    await this.ended;
    clearTimeout(last);
  }
}
