/** What is being built, and tools for building it the same way every time. */
import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

export const root = resolve(import.meta.dirname, '../..');

type Manifest = Readonly<{ name: string; version: string; description: string; license: string }>;
const { name, version, description, license }: Manifest = JSON.parse(fromTree('package.json'));

/** In seconds: SOURCE_DATE_EPOCH, else of the last commit. A tree without history has the same one every time, too. */
function date(): number {
  const seconds = process.env.SOURCE_DATE_EPOCH ?? (existsSync(join(root, '.git')) ? lastCommit() : '1767225600');
  if (!/^\d+$/.test(seconds)) throw new Error(`no number of seconds: SOURCE_DATE_EPOCH=${seconds}`);
  return Number(seconds);
}

/** Of this tree, whoever owns it, and of no repository around it. Without git another date would be in the packages: there is none then. */
function lastCommit(): string {
  const options = ['-c', 'safe.directory=*', '-c', 'log.showSignature=false', `--git-dir=${join(root, '.git')}`];
  try {
    return execFileSync('git', [...options, 'log', '-1', '--format=%ct'], { encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch (cause) {
    throw new Error('no date of the last commit; name another one: SOURCE_DATE_EPOCH=<seconds>', { cause });
  }
}

export const release = {
  ...{ name, version, description, license },
  /** The packages' only date. */
  get date() {
    return date();
  },
} as const;
/** In docs/. */
export const manPages: readonly string[] = ['filtermail.1', 'chatmail.ini.5'];
export const homepage = 'https://github.com/chatmail/relay';

/**
 * Of the program. V8 takes the size of its semi-spaces only from the command line; small ones keep memory flat with many large messages.
 * SIGUSR1 would open Node's inspector to every local user.
 */
export const nodeFlags: readonly string[] = ['--max-semi-space-size=4', '--disable-sigusr1'];

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
  const { stdout } = await promisify(execFile)(command, args, { cwd, maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}
