// A host whose system is that of this machine, for installing packages: it is gone with its changes, and the machine has noticed nothing.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import { basename } from 'node:path';
import { Host } from '../relay/whole/host.ts';
import { run } from './packages.ts';

/** What differs from the machine: files with their sums, what has been taken away, and directories that it does not have. */
const changes = `
  cd "$0"
  find etc usr ! -type d -printf '%y %m %u %g %T@ %l %p\\n' | sort
  find etc usr -type f -exec sha256sum {} + | sort
  find etc usr -type d | sort | while read -r directory; do
    [ -d "/$directory" ] || stat -c '%A %U %G %n' "$directory"
  done`;

/** Notes what it is told, and knows of a unit what its files say. */
const systemctl = `#!/bin/sh
[ "$1" = show ] || echo "$*" >>/run/systemctl.log
[ ! -e /run/systemctl.fails ] || exit 1
[ "$1" = show ] || exit 0
for unit; do :; done
for file in "/etc/systemd/system/$unit" "/usr/lib/systemd/system/$unit"; do
  [ -e "$file" ] || continue
  command=$(cat "$file" "/etc/systemd/system/$unit.d"/*.conf 2>/dev/null | sed -n 's/^ExecStart=\\(.\\)/\\1/p' | tail -n 1)
  echo "ExecStart={ path=\${command%% *} ; argv[]=$command ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 }"
  echo LoadState=loaded
  exit
done
echo LoadState=not-found
`;

/** Goes before the command of its name, and kills the whole process group after the call whose turn it is. */
const mortal = `#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
"\${0##*/}" "$@"
status=$?
read -r lives </run/lives
[ "$lives" -gt 0 ] || kill -KILL 0
echo $((lives - 1)) >/run/lives
exit $status
`;
const mortals = ['dpkg-deb', 'dpkg-split', 'ln', 'mkdir', 'mv', 'readlink', 'rm'];

export type Ended = Readonly<{ status: number | null; output: string }>;

export class Overlay implements AsyncDisposable {
  readonly #host: Host;

  private constructor(host: Host) {
    this.#host = host;
  }

  /** Copies of the files are in its /tmp; so are, in /tmp/mortal, the deadly commands, for PATH. */
  static async make(files: readonly string[] = []): Promise<Overlay> {
    const host = await Host.start('package');
    for (const file of files) copyFileSync(file, host.path(`/tmp/${basename(file)}`));
    const overlay = new Overlay(host);
    await overlay.write('/usr/local/sbin/systemctl', systemctl);
    for (const name of mortals) await overlay.write(`/tmp/mortal/${name}`, mortal);
    await host.run(['sed', '-i', '/ man-db/d', '/var/lib/dpkg/triggers/File']); // it takes longer than all others
    return overlay;
  }

  /** Something to be run. From inside: a link on the way would lead out of it from here. */
  async write(file: string, text: string): Promise<void> {
    await this.#host.run(['sh', '-c', 'mkdir -p "$(dirname "$0")" && cat >"$0" && chmod 755 "$0"', file], text);
  }

  /** Runs a shell script inside; both its outputs together. */
  async try(script: string): Promise<Ended> {
    const child = this.#host.spawn(['sh', '-c', `exec 2>&1; ${script}`]);
    child.stdin.end();
    let output = '';
    child.stdout.setEncoding('utf8').on('data', text => (output += text));
    const [status] = await once(child, 'close');
    return { status, output };
  }

  /** The same where it must not fail: its output. */
  async do(script: string): Promise<string> {
    const { status, output } = await this.try(script);
    assert.equal(status, 0, `${script}\n${output}`);
    return output;
  }

  /** In /etc and /usr: for comparing. */
  changes(): Promise<string> {
    return run('sh', ['-c', changes, this.#host.changes]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#host[Symbol.asyncDispose]();
  }
}
