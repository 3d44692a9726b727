// This machine's system with a layer of memory over it: what is installed there is gone with it, and the machine has noticed nothing.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { undoAtEnd } from '../loopback/tidy.ts';
import { Lines } from '../relay/lines.ts';
import { scratch } from './packages.ts';

/** Holds the mounts for as long as it lives; the directory "$0" is /mnt inside. */
const mounts = `
  set -e
  mount -t tmpfs tmpfs /mnt
  mkdir /mnt/upper /mnt/work /mnt/root
  mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
  mount --rbind /dev /mnt/root/dev
  mount --bind /proc /mnt/root/proc
  mount --bind "$0" /mnt/root/mnt
  echo ready >&2
  exec sleep 600`;

/** What differs from the machine: files with their sums, what has been taken away, and directories that it does not have. */
const changes = `
  cd /mnt/upper
  find etc usr ! -type d -printf '%y %m %u %g %T@ %l %p\\n' | sort
  find etc usr -type f -exec sha256sum {} + | sort
  find etc usr -type d | sort | while read -r directory; do
    [ -d "/$directory" ] || stat -c '%A %U %G %n' "$directory"
  done`;

export type Ended = Readonly<{ status: number | null; output: string }>;

export class Overlay implements Disposable {
  readonly #holder: ChildProcess;
  readonly #forget: () => void;

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
    this.#forget = undoAtEnd(() => holder.kill('SIGKILL'));
  }

  static async make(): Promise<Overlay> {
    const holder = spawn('unshare', ['--mount', 'sh', '-c', mounts, scratch], { stdio: ['ignore', 'ignore', 'pipe'] });
    const overlay = new Overlay(holder);
    assert.ok(holder.stderr);
    const log = Lines.of(holder.stderr);
    const early = once(holder, 'close').then(() => {
      throw new Error(`no overlay: ${log.all.join('\n')}`);
    });
    early.catch(() => undefined);
    await Promise.race([log.find(/^ready$/), early]);
    return overlay;
  }

  /** Runs a shell script inside; both its outputs together. */
  try(script: string): Ended {
    return this.#run(['chroot', '/mnt/root', 'sh', '-c', `exec 2>&1; ${script}`]);
  }

  /** The same where it must not fail: its output. */
  do(script: string): string {
    const { status, output } = this.try(script);
    assert.equal(status, 0, `${script}\n${output}`);
    return output;
  }

  /** In /etc and /usr: for comparing. */
  changes(): string {
    return this.#run(['sh', '-c', changes]).output;
  }

  #run(command: readonly string[]): Ended {
    const inside = ['-C', '/', 'nsenter', `--target=${this.#holder.pid}`, '--mount', ...command];
    const env = { PATH: '/mnt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' };
    const { status, stdout } = spawnSync('env', inside, { env, encoding: 'utf8' });
    return { status, output: stdout };
  }

  [Symbol.dispose](): void {
    this.#forget();
    this.#holder.kill('SIGKILL');
  }
}
