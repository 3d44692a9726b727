// A program of a host that a supervisor keeps running, as systemd does with `Restart=always`.

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { eventually } from '../../loopback/eventually.ts';
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

export class Service {
  /** Of all its runs. */
  readonly log: Lines;
  readonly #host: Host;
  readonly #program: Program;
  #process: ChildProcess | undefined;
  #closed: Promise<unknown> = Promise.resolve();
  #wanted = false;
  /** How often it was started again because it had ended. */
  restarts = 0;

  private constructor(host: Host, program: Program) {
    this.#host = host;
    this.#program = program;
    this.log = program.log ? following(host.path(program.log)) : new Lines();
  }

  static async start(host: Host, program: Program): Promise<Service> {
    const service = new Service(host, program);
    await service.start();
    return service;
  }

  /** Resolves when it is at work. */
  async start(): Promise<void> {
    this.#wanted = true;
    const { ready } = this.#program;
    const mark = this.log.mark;
    if (typeof ready === 'string') rmSync(this.#host.path(ready), { force: true });
    this.#spawn();
    if (typeof ready === 'string') await eventually(() => assert.ok(existsSync(this.#host.path(ready)), ready));
    else await this.log.find(ready, mark);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#wanted = false;
    const closed = this.#closed;
    this.kill(signal);
    await closed;
  }

  /** It ends with its host, and the supervisor does not bring it back. */
  abandon(): void {
    this.#wanted = false;
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
    void this.#closed.then(() => {
      if (!this.#wanted) return;
      this.restarts++;
      this.#spawn();
    });
  }
}

function following(path: string): Lines {
  writeFileSync(path, '');
  return Lines.follow(path)[0];
}
