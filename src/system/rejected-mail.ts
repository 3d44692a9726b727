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
  unlinkSync,
  writev,
} from 'node:fs';
import { join } from 'node:path';
import { DataReader } from '../wire/data-reader.ts';
import { codeOf, messageOf } from './errors.ts';
import type { Spool } from './spool.ts';

export type Kept = { path: string } | { failure: string };

const maxFiles = 100;
const maxOctets = 100 * 1024 * 1024;
const ours = /^\d+-[0-9a-f]{8}\.eml$/;

export class RejectedMail {
  /** Where the files go: `<filtermail_rejected_dir>/dkim-verify`. */
  readonly directory: string;
  readonly #parent: string;
  readonly #name: string;
  /** Octets that files under way may still grow to. */
  readonly #underWay = new Map<string, number>();

  constructor(parent: string, name = 'dkim-verify') {
    this.#parent = parent;
    this.#name = name;
    this.directory = join(parent, name);
  }

  /** Why messages cannot be kept, in words for the log; null when they can. */
  trouble(): string | null {
    try {
      this.#within(() => undefined);
      return null;
    } catch (error) {
      return messageOf(error);
    }
  }

  /** Keeps the message, its dots unescaped; `now` in milliseconds since 1970. Never rejects. */
  async keep(content: Spool, now: number): Promise<Kept> {
    const name = `${Math.floor(now / 1000)}-${randomBytes(4).toString('hex')}.eml`;
    try {
      const file = this.#within(directory => this.#create(directory, name, content.octets));
      try {
        await write(file, content);
      } catch (error) {
        this.#within(directory => unlinkSync(join(directory, name)));
        throw error;
      } finally {
        closeSync(file);
      }
      return { path: join(this.directory, name) };
    } catch (error) {
      return { failure: messageOf(error) };
    } finally {
      this.#underWay.delete(name);
    }
  }

  /** Calls `use` with a path that leads to the directory and nowhere else, whatever others rename meanwhile (as openat(2) would). */
  #within<T>(use: (directory: string) => T): T {
    const parent = openDirectory(this.#parent, this.#parent);
    try {
      const directory = openDirectory(`/proc/self/fd/${parent}/${this.#name}`, this.directory);
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
    const files = readdirSync(directory)
      .filter(name => ours.test(name))
      .sort((one, other) => Number.parseInt(one, 10) - Number.parseInt(other, 10))
      .map(name => ({ name, octets: this.#underWay.get(name) ?? sizeOf(join(directory, name)) }));
    let sum = files.reduce((total, file) => total + file.octets, octets);
    for (const [index, file] of files.entries()) {
      if (files.length - index < maxFiles && sum <= maxOctets) return;
      unlinkSync(join(directory, file.name));
      sum -= file.octets;
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
    if (codeOf(error) !== 'EEXIST') throw new Error(`${shown}: ${codeOf(error)}`);
  }
  try {
    descriptor = openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    throw new Error(`${shown}: ${codeOf(error)}`);
  }
  const { uid } = fstatSync(descriptor);
  if (uid === process.geteuid?.() || uid === 0) return descriptor;
  closeSync(descriptor);
  throw new Error(`${shown}: belongs to user ${uid}`);
}

function sizeOf(path: string): number {
  return lstatSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

async function write(file: number, content: Spool): Promise<void> {
  const reader = new DataReader();
  for await (const batch of content.read({ release: true })) {
    const pieces = batch.map(buffer => Buffer.from(reader.feed(buffer).text, 'latin1'));
    await new Promise<void>((resolve, reject) => {
      const wanted = pieces.reduce((sum, piece) => sum + piece.length, 0);
      writev(file, pieces, (error, written) => {
        if (error !== null) reject(error);
        else if (written < wanted) reject(new Error('no space left'));
        else resolve();
      });
    });
  }
}
