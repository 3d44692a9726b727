// The packages of this tree, built once for all tests.

import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { undoAtExit } from '../relay/leftovers.ts';

export const root = resolve(import.meta.dirname, '../..');
/** On a disk: all together they are some 800 MB. */
export const scratch = mkdtempSync('/var/tmp/filtermail-package-');
undoAtExit(() => rmSync(scratch, { recursive: true, force: true }));

export const version: string = (await import('../../package.json', { with: { type: 'json' } })).default.version;
export const dist = join(scratch, 'dist');
export const machine = process.arch === 'arm64' ? 'arm64' : 'x64';
export const debArchitecture = machine === 'arm64' ? 'arm64' : 'amd64';

export const names = {
  single: (arch: string) => `filtermail-${version}-linux-${arch}`,
  deb: (arch: string) => `filtermail_${version}_${arch}.deb`,
  npm: `filtermail-${version}.tgz`,
  bill: `filtermail-${version}.cdx.json`,
  notices: 'NOTICES.txt',
};
export const single = join(dist, names.single(machine));
export const deb = join(dist, names.deb(debArchitecture));

/** A commit in between would change the date. */
const date = '1790000000';

/** As `npm run build` does it. */
export async function build(directory: string, umask = '022'): Promise<void> {
  const env = { ...process.env, SOURCE_DATE_EPOCH: date };
  await run('sh', ['-c', `umask ${umask}; exec sh scripts/build.sh "$0"`, directory], { env });
}

/** Runs a command in this tree; what it prints. */
export async function run(command: string, args: readonly string[], options: { env?: NodeJS.ProcessEnv } = {}) {
  const { stdout } = await promisify(execFile)(command, args, { cwd: root, maxBuffer: 1 << 26, ...options });
  return stdout;
}

export function place(name: string): string {
  mkdirSync(join(scratch, name));
  return join(scratch, name);
}
