/**
 * Keeps refused messages for the admin, as files: at most 100 of them and 100 MiB, the oldest go first. The directory may stand where
 * others can write (`/tmp`): nothing is opened through a symlink or in a directory of another user.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  unlinkSync,
  writev,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { DataReader } from '../wire/data-reader.ts';
import { causeOf, codeOf, messageOf } from './errors.ts';
import type { Spool } from './spool.ts';

export type Kept = { path: string } | { failure: string };

const subdirectory = 'dkim-verify';
const maxFiles = 100;
const maxOctets = 100 * 1024 * 1024;
/** With `.part` while it is written: a file that is cut short by a crash must not look like a message. */
const ours = /^\d+-[0-9a-f]{8}\.eml(?:\.part)?$/;

export class RejectedMail {
  /** Where the files go: `<filtermail_rejected_dir>/dkim-verify`. */
  readonly directory: string;
  readonly #parent: string;
  /** Octets that files under way may still grow to. */
  readonly #underWay = new Map<string, number>();

  constructor(parent: string) {
    // O_NOFOLLOW would not mind a link with a slash behind it.
    this.#parent = resolve(parent);
    this.directory = join(this.#parent, subdirectory);
  }

  /** Why messages cannot be kept, in words for the log; null when they can. */
  trouble(): string | null {
    try {
      this.#within(() => undefined);
      return null;
    } catch (error) {
      return causeOf(error);
    }
  }

  /** Keeps the message, its dots unescaped; `now` in milliseconds since 1970. Never rejects. */
  async keep(content: Spool, now: number): Promise<Kept> {
    const name = `${Math.floor(now / 1000)}-${randomBytes(4).toString('hex')}.eml`;
    const part = `${name}.part`;
    try {
      const file = this.#within(directory => this.#create(directory, part, content.octets));
      try {
        await write(file, content);
        this.#within(directory => finish(join(directory, part), join(directory, name)));
      } catch (error) {
        this.#remove(part);
        throw error;
      } finally {
        closeSync(file);
      }
      return { path: join(this.directory, name) };
    } catch (error) {
      return { failure: codeOf(error) === null ? messageOf(error) : `${this.directory}: ${causeOf(error)}` };
    } finally {
      this.#underWay.delete(part);
    }
  }

  /** Calls `use` with a path that leads to the directory and nowhere else, whatever others rename meanwhile (as openat(2) would). */
  #within<T>(use: (directory: string) => T): T {
    const parent = openDirectory(this.#parent, this.#parent);
    try {
      const directory = openDirectory(`/proc/self/fd/${parent}/${subdirectory}`, this.directory);
      try {
        if ((fstatSync(directory).mode & 0o077) !== 0) fchmodSync(directory, 0o700);
        return use(`/proc/self/fd/${directory}`);
      } finally {
        closeSync(directory);
      }
    } finally {
      closeSync(parent);
    }
  }

  #create(directory: string, name: string, octets: number): number {
    if (octets > maxOctets) throw new Error(`larger than ${maxOctets} octets`);
    this.#makeRoom(directory, octets);
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    const file = openSync(join(directory, name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    this.#underWay.set(name, octets);
    return file;
  }

  #makeRoom(directory: string, octets: number): void {
    const files = readdirSync(directory, { withFileTypes: true })
      .filter(entry => !entry.isDirectory() && ours.test(entry.name))
      .map(({ name }) => {
        const { size, mtimeMs } = lstatSync(join(directory, name));
        return { name, octets: this.#underWay.get(name) ?? size, second: Number.parseInt(name, 10), written: mtimeMs };
      })
      .sort((one, other) => one.second - other.second || one.written - other.written);
    let sum = files.reduce((total, file) => total + file.octets, octets);
    for (const [index, file] of files.entries()) {
      if (files.length - index < maxFiles && sum <= maxOctets) return;
      unlinkSync(join(directory, file.name));
      sum -= file.octets;
    }
  }

  #remove(name: string): void {
    try {
      this.#within(directory => unlinkSync(join(directory, name)));
    } catch {
      // It is gone already, or nothing can be done; the first failure is the one to tell.
    }
  }
}

/**
 * Opens a directory of our own (or root's: it may have been made for us), made if it is missing. `shown` is its name in errors, which it
 * throws for a symlink too.
 */
function openDirectory(path: string, shown: string): number {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  let descriptor: number;
  try {
    mkdirSync(path, 0o700);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw new Error(`${shown}: ${causeOf(error)}`);
  }
  try {
    descriptor = openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    throw new Error(`${shown}: ${causeOf(error)}`);
  }
  const { uid } = fstatSync(descriptor);
  if (uid === process.geteuid?.() || uid === 0) return descriptor;
  closeSync(descriptor);
  throw new Error(`${shown}: belongs to user ${uid}`);
}

function finish(part: string, path: string): void {
  try {
    renameSync(part, path);
  } catch (error) {
    throw codeOf(error) === 'ENOENT' ? new Error('it had to make room for later ones') : error;
  }
}

async function write(file: number, content: Spool): Promise<void> {
  const reader = new DataReader();
  for await (const batch of content.read({ release: true })) {
    const pieces = batch.map(buffer => Buffer.from(reader.feed(buffer).text, 'latin1'));
    await new Promise<void>((done, fail) => {
      const wanted = pieces.reduce((sum, piece) => sum + piece.length, 0);
      writev(file, pieces, (error, written) => {
        if (error !== null) fail(error);
        else if (written < wanted) fail(new Error('no space left'));
        else done();
      });
    });
  }
}
