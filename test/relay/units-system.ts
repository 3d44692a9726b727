// A real systemd as the first process of a machine of its own: the programs of this machine read-only, all else made here and in
// memory. It knows no units but the journal's and those that a test gives it, so it does nothing to this machine. Only the
// network is shared.

import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Lines } from './lines.ts';
import { first, keeper } from './units-boot.ts';

const checkout = fileURLToPath(new URL('../..', import.meta.url));

export type Shown = Readonly<Record<string, string>>;

export class System implements AsyncDisposable {
  /** Of systemd, as it is known here. */
  readonly pid: number;
  readonly #keeper: ChildProcess;
  readonly #followers: ChildProcess[] = [];

  private constructor(pid: number, child: ChildProcess) {
    this.pid = pid;
    this.#keeper = child;
  }

  /** With the filter of this checkout, or an installed one: `FILTERMAIL=/usr/bin/filtermail`. */
  static async boot(): Promise<System> {
    const directory = mkdtempSync('/var/tmp/filtermail-units-');
    const filter = process.env.FILTERMAIL ? realpathSync(process.env.FILTERMAIL) : '';
    const script = ['sh', '-euc', keeper, 'keeper', directory, checkout, filter];
    const child = spawn('unshare', ['--mount', '--propagation', 'private', ...script], {
      env: { ...process.env, FIRST: first },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true, // a signal to our group must not keep it from tidying up
    });
    let complaint = '';
    child.stderr.setEncoding('utf8').on('data', text => (complaint += text));
    const failed = once(child, 'close').then(() => assert.fail(`systemd does not start: ${complaint.trim()}`));
    failed.catch(() => undefined);
    try {
      const [line] = await Promise.race([once(child.stdout, 'data'), failed]);
      const system = new System(Number(line), child);
      if (Number.isNaN(system.pid)) {
        child.stdin.end();
        await failed; // which knows why
      }
      await Promise.race([system.#up(), failed]);
      return system;
    } catch (error) {
      child.stdin.end();
      throw error;
    }
  }

  async #up(): Promise<void> {
    const end = performance.now() + 30_000;
    for (;;) {
      const state = await this.run('systemctl', 'is-system-running').catch(error => String(error.stdout || error));
      if (state.trim() === 'running') return;
      assert.ok(performance.now() < end, `systemd is not up: ${state}`);
      await sleep(50);
    }
  }

  /** Where a file of its is found from here. */
  path(inside: string): string {
    return `/proc/${this.pid}/root${inside}`;
  }

  write(inside: string, text: string): void {
    mkdirSync(dirname(this.path(inside)), { recursive: true });
    writeFileSync(this.path(inside), text);
  }

  #enter(command: readonly string[]): [string, string[]] {
    return ['nsenter', [`--target=${this.pid}`, '--all', '--wdns=/', '--', ...command]];
  }

  /** The output of a command, once it has ended well. */
  async run(...command: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(...this.#enter(command), { timeout: 30_000 });
    return stdout;
  }

  systemctl(...words: string[]): Promise<string> {
    return this.run('systemctl', ...words);
  }

  /** What systemd knows of a unit. */
  async show(unit: string): Promise<Shown> {
    const lines = (await this.systemctl('show', unit)).split('\n');
    return Object.fromEntries(lines.map(line => line.split(/=(.*)/s, 2)));
  }

  /** The same, once it is as expected. */
  async becomes(unit: string, expected: Shown, withinMs = 10_000): Promise<Shown> {
    const end = performance.now() + withinMs;
    for (;;) {
      const shown = await this.show(unit);
      const isSo = Object.entries(expected).every(([name, value]) => shown[name] === value);
      if (!isSo && performance.now() < end) {
        await sleep(20);
        continue;
      }
      assert.partialDeepStrictEqual(shown, expected, unit);
      return shown;
    }
  }

  /** What a unit's processes log, from the first line on. */
  journal(unit: string): Lines {
    const words = ['--follow', '--lines=all', '--output=cat', `_SYSTEMD_UNIT=${unit}.service`];
    const child = spawn(...this.#enter(['journalctl', ...words]), { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#followers.push(child);
    return Lines.of(child.stdout);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = [this.#keeper, ...this.#followers].map(child => once(child, 'close'));
    this.#keeper.stdin?.end();
    for (const follower of this.#followers) follower.kill();
    await Promise.all(ended);
  }
}

/** Why there can be no systemd here; undefined when there can. */
export function whyNoSystemd(): string | undefined {
  if (!existsSync('/lib/systemd/systemd')) return 'systemd is not installed (as root: sh scripts/debian.sh systemd)';
  if (process.getuid?.() !== 0) return 'only root can give systemd a machine of its own';
  const { status, stderr } = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], {
    encoding: 'utf8',
  });
  return status === 0 ? undefined : `systemd cannot have a machine of its own here: ${stderr.trim()}`;
}
