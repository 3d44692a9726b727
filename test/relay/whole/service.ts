// A program of a host that a supervisor keeps running, as systemd does with `Restart=always`.

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lines } from '../lines.ts';
import { childOf, type Host, type SpawnOptions } from './host.ts';

export type Program = SpawnOptions &
  Readonly<{
    name: string;
    argv: readonly string[];
    /** What it logs when it is at work; of one that logs nothing the socket that it makes. */
    ready: RegExp | string;
    /** Where it logs, if not to its standard output or error. */
    log?: string;
  }>;

const untilSocket = 'until [ -S "$0" ]; do sleep 0.02; done';

/** `RestartSec=` of the units. */
const restartMs = 100;

export class Service {
  /** Of all its runs. */
  readonly log = new Lines();
  readonly #host: Host;
  readonly #program: Program;
  #process: ChildProcess | undefined;
  #closed: Promise<unknown[]> = Promise.resolve([]);
  #wanted = false;
  /** How often it was started again because it had ended. */
  restarts = 0;

  private constructor(host: Host, program: Program) {
    this.#host = host;
    this.#program = program;
  }

  static async start(host: Host, program: Program): Promise<Service> {
    const service = new Service(host, program);
    if (program.log) {
      await host.run(['sh', '-c', ': >"$0"', program.log]); // without what this machine has logged
      service.log.read(host.spawn(['tail', '-n', '+1', '-F', program.log]).stdout);
    }
    await service.start();
    return service;
  }

  /** Resolves when it is at work. */
  async start(): Promise<void> {
    const { mark } = this.log;
    const { name, ready } = this.#program;
    if (typeof ready === 'string') await this.#host.run(['rm', '-f', ready]);
    this.#spawn();
    const atWork =
      typeof ready === 'string' ? this.#host.run(['sh', '-c', untilSocket, ready]) : this.log.find(ready, mark);
    const early = this.#closed.then(([status, signal]) => {
      if (this.#wanted) return;
      const said = this.log.since(mark).join('\n');
      throw new Error(`${this.#host.name}: ${name} ended at once (${signal ?? status}):\n${said}`);
    });
    await Promise.race([atWork, early]);
    this.#wanted = true;
    atWork.catch(() => undefined);
    early.catch(() => undefined);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#wanted = false;
    const closed = this.#closed;
    this.kill(signal);
    await closed;
  }

  /** The supervisor brings it back. */
  kill(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** As it is known here. */
  get pid(): number {
    const pid = this.#process && childOf(this.#process);
    return pid ?? assert.fail(`${this.#host.name}: ${this.#program.name} does not run`);
  }

  #spawn(): void {
    const { argv, ...options } = this.#program;
    const child = this.#host.spawn(argv, options);
    assert.ok(child.stdin && child.stdout && child.stderr);
    child.stdin.end();
    this.log.read(child.stdout);
    this.log.read(child.stderr);
    this.#process = child;
    this.#closed = once(child, 'exit');
    void this.#closed.then(() => this.#again());
  }

  /** It ends with its host. */
  get #isKept(): boolean {
    return this.#wanted && this.#host.isUp;
  }

  async #again(): Promise<void> {
    if (!this.#isKept) return;
    this.restarts++;
    await sleep(restartMs);
    if (this.#isKept) this.#spawn();
  }
}
