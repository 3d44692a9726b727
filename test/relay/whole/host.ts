// A machine as far as mail can tell: a network, processes, mounts and a name of its own, and of this machine's files a view whose
// changes are kept in memory and seen by nobody else. So programs run with their usual paths (/etc/postfix), and nothing of this
// machine is touched.
//
// Its first process reads a pipe from the test. When the test ends, however it ends, the pipe does, and with that process the
// kernel takes away all others, the mounts, the files and the network.

import assert from 'node:assert/strict';
import { type ChildProcess, type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';

export const checkout = resolve(import.meta.dirname, '../../..');

/** Where a host finds this checkout, whoever may read its path here. */
export const checkoutInHost = '/usr/local/lib/filtermail';

/** Where a host finds a file of this machine. */
export function inHost(path: string): string {
  const absolute = resolve(path);
  return absolute.startsWith(`${checkout}/`) ? checkoutInHost + absolute.slice(checkout.length) : absolute;
}

const namespaces = ['--mount', '--uts', '--ipc', '--net', '--pid'];

// /mnt is there on every Debian; what is mounted on it is seen in this mount namespace only.
const first = `
  set -e
  cd "$2" # it may be below /mnt
  mount -t tmpfs tmpfs /mnt
  mkdir /mnt/upper /mnt/work /mnt/root
  exec 3</mnt/upper
  mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
  mkdir -p /mnt/root${checkoutInHost}
  mount --no-canonicalize --bind . /mnt/root${checkoutInHost}
  cd /mnt/root
  mount --rbind /dev dev
  mount -t proc proc proc
  mount -t sysfs sysfs sys
  mount -t tmpfs -o mode=755 tmpfs run
  mount -t tmpfs -o mode=1777 tmpfs tmp
  pivot_root . mnt
  umount -l /mnt
  hostname "$1"
  ip link set lo up
  echo ready
  read -r || true
`;

// From inside: a link on the way would lead out of the host from here. Postfix trusts a file that was not changed for a second.
const writeFile = 'mkdir -p "$(dirname "$0")"; rm -f "$0"; cat >"$0"; chmod 644 "$0"; touch -d @0 "$0"';

/** Texts by their paths in a host. */
export type Files = Readonly<Record<string, string>>;

export type SpawnOptions = Readonly<{ env?: Readonly<Record<string, string>> }>;

export class Host implements AsyncDisposable {
  readonly name: string;
  /** Of its first process, as it is known here. */
  readonly pid: number;
  readonly #keeper: ChildProcess;
  readonly #closed: Promise<unknown>;

  private constructor(name: string, keeper: ChildProcess) {
    this.name = name;
    this.#keeper = keeper;
    this.#closed = once(keeper, 'close');
    this.pid = childOf(keeper) ?? assert.fail(`${name}: no first process`);
  }

  static async start(name: string): Promise<Host> {
    const command = ['bash', '-c', first, 'host', name, checkout];
    const isolation = [...namespaces, '--propagation', 'private', '--fork', '--kill-child=KILL'];
    const keeper = spawn('unshare', [...isolation, ...command], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    assert.ok(keeper.stdout && keeper.stderr);
    let complaint = '';
    keeper.stderr.setEncoding('utf8').on('data', text => (complaint += text));
    const ended = once(keeper, 'close').then(() => {
      throw new Error(`cannot make the host ${name}: ${complaint.trim()}`);
    });
    await Promise.race([once(keeper.stdout, 'data'), ended]);
    ended.catch(() => undefined);
    return new Host(name, keeper);
  }

  get isUp(): boolean {
    return this.#keeper.stdin?.writable === true && this.#keeper.exitCode === null && this.#keeper.signalCode === null;
  }

  /** Where a file of the host is found from here. */
  path(inside: string): string {
    return `/proc/${this.pid}/root${inside}`;
  }

  /** Where the files that differ from those of this machine are found from here; the first process has it open. */
  get changes(): string {
    return `/proc/${this.pid}/fd/3`;
  }

  spawn(argv: readonly string[], { env = {} }: SpawnOptions = {}): ChildProcessWithoutNullStreams {
    const child = spawn('nsenter', [`--target=${this.pid}`, ...namespaces, '--wdns=/', '--', ...argv], {
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    // What a process that has ended does not read is no error of its own.
    child.stdin.on('error', () => undefined);
    return child;
  }

  /** Its output, once it has ended well. */
  async run(argv: readonly string[], input = ''): Promise<string> {
    const child = this.spawn(argv);
    let [output, complaint] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', text => (output += text));
    child.stderr.setEncoding('utf8').on('data', text => (complaint += text));
    child.stdin.end(input);
    const [status] = await once(child, 'close');
    assert.equal(status, 0, `${this.name}: ${argv.join(' ')}\n${complaint}${output}`);
    return output;
  }

  /** Files with these texts, by their paths; what was there, a link too, goes. */
  async write(files: Files): Promise<void> {
    for (const [path, text] of Object.entries(files)) await this.run(['sh', '-euc', writeFile, path], text);
  }

  /** In its network alone, with the programs and files of this machine. */
  network(...argv: readonly string[]): void {
    execFileSync('nsenter', [`--target=${this.pid}`, '--net', '--', ...argv], { stdio: ['ignore', 'ignore', 'pipe'] });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#keeper.stdin?.end();
    await this.#closed;
  }
}

/** The process that unshare or nsenter has started. */
export function childOf({ pid }: ChildProcess): number | undefined {
  const path = `/proc/${pid}/task/${pid}/children`;
  if (!existsSync(path)) return undefined;
  const [child] = readFileSync(path, 'latin1').split(' ');
  return child ? Number(child) : undefined;
}
