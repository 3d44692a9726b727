/** What is being built, and tools for building it the same way every time. */
import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

export const root = resolve(import.meta.dirname, '../..');

type Manifest = Readonly<{ name: string; version: string; description: string; license: string }>;
const { name, version, description, license }: Manifest = JSON.parse(fromTree('package.json'));

/** The packages' only date, in seconds: of the last commit. A tree without history has the same one every time, too. */
function date(): number {
  const { SOURCE_DATE_EPOCH: wish } = process.env;
  if (wish !== undefined) return Number(wish);
  try {
    return Number(
      execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] }),
    );
  } catch {
    return Date.UTC(2026, 0) / 1000;
  }
}

export const release = { name, version, description, license, date: date() } as const;
export const homepage = 'https://github.com/chatmail/relay';

/** V8 takes the size of its semi-spaces only from the command line. Small ones keep memory flat with many large messages. */
export const nodeFlags: readonly string[] = ['--max-semi-space-size=4'];

export function fromTree(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** Writes a file whose mode does not depend on the umask. */
export function put(file: string, content: string | Buffer, mode = 0o644): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, mode);
}

/** Runs a command; an error has what it said. */
export async function run(command: string, args: readonly string[], cwd = root): Promise<string> {
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(release.date) };
  const { stdout } = await promisify(execFile)(command, args, { cwd, env, maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}
