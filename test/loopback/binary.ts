// The real binary as a child process, and what the kernel knows of it.

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Lines } from '../relay/lines.ts';
import { eventually } from './eventually.ts';
import type { Site } from './site.ts';
import { undoAtEnd } from './tidy.ts';

/** The one of this tree, or another: `FILTERMAIL=/usr/bin/filtermail npm run test:loopback`. */
export const binary = process.env.FILTERMAIL ?? fileURLToPath(new URL('../../bin/filtermail', import.meta.url));

export type Launch = {
  args: readonly string[];
  /** Instead of ours: another way to the same program. */
  program?: string;
  /** A command that runs the program: `['sh', '-c', 'ulimit -n 64; exec "$@"', 'sh']`. */
  through?: readonly string[];
  cwd?: string;
  /** Replaces the environment. */
  env?: Record<string, string | undefined>;
};

export type Mode = 'incoming' | 'outgoing' | 'transport';

export class Binary {
  readonly log: Lines;
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | string>;
  #stdout = '';

  private constructor(child: ChildProcess) {
    assert.ok(child.stdout && child.stderr);
    this.#child = child;
    this.pid = child.pid ?? 0;
    this.log = Lines.of(child.stderr);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
    });
    // `close` comes when the pipes have been read to their end, too.
    this.#exited = once(child, 'close').then(([code, signal]) => code ?? signal);
    const forget = undoAtEnd(() => child.kill('SIGKILL'));
    void this.#exited.then(forget, forget);
  }

  static launch({ args, program = binary, through = [], cwd, env }: Launch): Binary {
    const [command = program, ...rest] = [...through, program, ...args];
    const environment = env ?? withoutOptions(process.env);
    return new Binary(spawn(command, rest, { cwd, env: environment, stdio: ['ignore', 'pipe', 'pipe'] }));
  }

  /** A mode at its work. */
  static async serve(site: Site, launch: Omit<Launch, 'args'> = {}, mode: Mode = 'outgoing'): Promise<Binary> {
    const filter = Binary.launch({ args: [site.config, mode], ...launch });
    const early = filter.#exited.then(status => {
      throw new Error(`filtermail ended at once (${status}):\n${filter.log.all.join('\n')}`);
    });
    await Promise.race([filter.log.find(/entering serving loop/), early]);
    early.catch(() => undefined); // from here on `ended` tells
    return filter;
  }

  /** What it wrote to stdout, where nothing belongs. */
  get stdout(): string {
    return this.#stdout;
  }

  /** Waits for its end: the exit code, or the signal that ended it. */
  async ended(withinMs = 20_000): Promise<number | string> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`still running after ${withinMs} ms`)), withinMs);
    });
    return await Promise.race([this.#exited, late]).finally(() => clearTimeout(timer));
  }

  /** Nobody reads its log any more: writing it fails. */
  closeLog(): void {
    this.#child.stderr?.destroy();
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Stops it, and expects what every run must show: exit 0, and a log that is one. */
  async stop(): Promise<void> {
    this.signal('SIGTERM');
    assert.equal(await this.ended(), 0, 'exit status');
    assertLog(this.log.all);
    assert.equal(this.#stdout, '', 'stdout');
  }

  /** What its descriptors are: sockets, files, pipes. */
  descriptors(): string[] {
    const directory = `/proc/${this.pid}/fd`;
    return readdirSync(directory).flatMap(name => {
      try {
        return [readlinkSync(`${directory}/${name}`)];
      } catch {
        return []; // closed in the meantime
      }
    });
  }

  /** Its unlinked files in the spool directory. */
  spoolFiles(site: Site): string[] {
    return this.descriptors().filter(path => path.startsWith(`${site.spool}/`));
  }

  /** Octets that wait in the kernel to be read, of each connection to that port. */
  unread(port: number): number[] {
    const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
    const lines = readFileSync(`/proc/${this.pid}/net/tcp`, 'latin1').split('\n');
    return lines.flatMap(line => {
      const [, local = '', , state, queues = ''] = line.trim().split(/\s+/);
      return state === '01' && local.endsWith(suffix) ? [Number.parseInt(queues.split(':')[1] ?? '', 16)] : [];
    });
  }

  /** Its highest resident memory in MiB from now on is what `memory('VmHWM')` will give. */
  forgetHighest(): void {
    writeFileSync(`/proc/${this.pid}/clear_refs`, '5');
  }

  /** Leaves it no descriptor more than it has; the function undoes that. */
  takeDescriptors(): () => void {
    const taken = new Set(readdirSync(`/proc/${this.pid}/fd`).map(Number));
    let free = 0;
    while (taken.has(free)) free++;
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${this.pid}/limits`, 'latin1'))?.[1];
    const set = (most: number | string) => execFileSync('prlimit', [`--pid=${this.pid}`, `--nofile=${most}:`]);
    set(free);
    return () => set(limit ?? '');
  }

  /** Waits until it has as many descriptors as it had. */
  async descriptorsBackTo(count: number, withinMs = 10_000): Promise<void> {
    await eventually(() => assert.equal(this.descriptors().length, count, this.descriptors().join('\n')), withinMs);
  }

  /** Resident memory in MiB, now or at its most. */
  memory(which: 'VmRSS' | 'VmHWM'): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'latin1');
    return Number(new RegExp(`^${which}:\\s*(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
  }
}

/** `node --test` tells its children things that are not for the filter. */
function withoutOptions(env: NodeJS.ProcessEnv): Record<string, string | undefined> {
  const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...rest } = env;
  return rest;
}

/** Every line is an event with a level, in printable ASCII; nothing of Node's own gets in between. */
export function assertLog(lines: readonly string[]): void {
  for (const line of lines) {
    assert.match(line, /^(?:ERROR|WARN|INFO|DEBUG|TRACE) [\x20-\x7e]+$/);
    assert.doesNotMatch(line, /warning/i, 'metrics count every line with this word');
  }
}
