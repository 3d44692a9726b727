// Child processes: start, wait until they listen, read what they used from /proc, stop.
// A process counts together with its descendants, so that a wrapper script or a program with workers is measured whole.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Resident, in MB of 10^6 octets; private is what no other process shares. */
export interface Memory {
  readonly rssMB: number;
  readonly privateMB: number;
}

/** /proc counts CPU time in hundredths of a second on every Linux. */
const msPerTick = 10;

export class Program implements AsyncDisposable {
  readonly pid: number;
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #log: string;
  readonly #exited: Promise<string>;

  /** Starts the program; what it prints goes to the file `log`, as cheap as a journal. */
  constructor(command: string, args: readonly string[], log: string, env: NodeJS.ProcessEnv = {}) {
    const output = openSync(log, 'w');
    const child = spawn(command, args, { stdio: ['ignore', output, output], env: { ...process.env, ...env } });
    closeSync(output);
    this.#name = command;
    this.#child = child;
    this.#log = log;
    this.#exited = new Promise(resolve => {
      child.once('exit', (code, signal) => resolve(signal ?? String(code)));
      child.once('error', error => resolve(error.message));
    });
    if (child.pid === undefined) throw new Error(`cannot run ${command}`);
    this.pid = child.pid;
    running.add(child);
    this.#exited.then(() => running.delete(child));
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The exit code or the signal that ended it. */
  get exited(): Promise<string> {
    return this.#exited;
  }

  /** Everything it has printed. */
  said(): string {
    return readFileSync(this.#log, 'latin1');
  }

  /** An error that shows what the program said last. */
  failure(what: string): Error {
    const said = this.said().trim().split(/\r?\n/).slice(-5).join('\n  ');
    return new Error(`${this.#name}: ${what}\n  ${said}`.trimEnd());
  }

  async untilListening(port: number): Promise<void> {
    for (let tries = 0; tries < 1000; tries++) {
      if (!this.isRunning) throw this.failure(`ended at its start (${await this.#exited})`);
      if (await accepts(port)) return;
      await sleep(10);
    }
    throw this.failure(`does not listen on port ${port}`);
  }

  async untilSaying(text: string): Promise<void> {
    const deadline = performance.now() + 10_000;
    while (!this.said().includes(text)) {
      if (!this.isRunning) throw this.failure(`ended at its start (${await this.#exited})`);
      if (performance.now() > deadline) throw this.failure(`does not say: ${text}`);
      await sleep(1);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.isRunning) return;
    this.#child.kill('SIGTERM');
    const insist = setTimeout(() => this.#child.kill('SIGKILL'), 12_000);
    await this.#exited;
    clearTimeout(insist);
  }

  /** User and system time of all threads so far, with children that have ended. */
  cpuMs(): number {
    return familyCpuMs(this.pid);
  }

  /** How many sockets it has open. */
  sockets(): number {
    return family(this.pid).reduce((sum, pid) => sum + socketsOf(pid), 0);
  }

  /** Peak resident memory (VmHWM) since the start or the last reset, in MB of 10^6 octets. */
  peakMB(): number {
    return this.#sumMB('status', 'VmHWM');
  }

  /** Now. */
  memory(): Memory {
    return {
      rssMB: this.#sumMB('status', 'VmRSS'),
      privateMB: this.#sumMB('smaps_rollup', 'Private_Clean', 'Private_Dirty'),
    };
  }

  #sumMB(file: 'status' | 'smaps_rollup', ...fields: readonly string[]): number {
    let kib = 0;
    for (const pid of family(this.pid)) {
      const told = readFileSync(`/proc/${pid}/${file}`, 'latin1');
      for (const [, field = '', value] of told.matchAll(/^(\w+):\s*(\d+)/gm)) {
        if (fields.includes(field)) kib += Number(value);
      }
    }
    return (kib * 1024) / 1e6;
  }

  resetPeak(): void {
    for (const pid of family(this.pid)) writeFileSync(`/proc/${pid}/clear_refs`, '5');
  }
}

/** Nothing stays behind when the bench itself is stopped. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));

/** Of a process and its descendants, those that have ended and been waited for included. */
export function familyCpuMs(ancestor: number): number {
  let ticks = 0;
  for (const pid of family(ancestor)) {
    // The second field, the name in brackets, may hold blanks: utime to cstime are 12 to 15 behind it.
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ');
    for (const field of fields.slice(11, 15)) ticks += Number(field);
  }
  return ticks * msPerTick;
}

/** None of a process that has just ended. */
export function socketsOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).filter(fd => isSocket(`/proc/${pid}/fd/${fd}`)).length;
  } catch {
    return 0;
  }
}

function isSocket(descriptor: string): boolean {
  try {
    return readlinkSync(descriptor).startsWith('socket:');
  } catch {
    return false; // it has just been closed
  }
}

function family(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`)
    .flatMap(thread => readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1').split(' '))
    .filter(child => child !== '');
  return [pid, ...children.flatMap(child => family(Number(child)))];
}

function accepts(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
