/**
 * Where messages wait between DATA and the next hop: in memory while all of them together hold at most the budget, after that the
 * further octets of a message that is over 256 KiB go to an unlinked file. A full disk, missing descriptors and I/O errors make the
 * one spool `failed`; its octets are then dropped and the caller goes on reading. Memory is given back as soon as octets have left it,
 * not when the garbage collector finds out.
 */
import { close, read, writev } from 'node:fs';
import { messageOf } from './errors.ts';
import { openUnlinked } from './unlinked-file.ts';

const defaultBudget = 32 * 1024 * 1024;
const alwaysInMemory = 256 * 1024;
const batchOctets = 256 * 1024;
const maxWaiting = 512 * 1024;
const readOctets = 256 * 1024;
/** Pieces smaller than this are put together once there are many: a buffer of its own costs a few hundred octets. */
const smallPiece = 1024;
const manyPieces = 16;
const blockOctets = 16 * 1024;

/** What all spools of a process share: the directory and the memory budget. */
export class SpoolStore {
  readonly directory: string;
  readonly budget: number;
  /** Octets in memory now. */
  held = 0;

  constructor(directory: string, budget = defaultBudget) {
    this.directory = directory;
    this.budget = budget;
  }

  open(): Spool {
    return new Spool(this);
  }
}

export class Spool {
  /** Why octets were lost; null while none were. */
  failed: string | null = null;
  readonly #store: SpoolStore;
  #memory: Buffer[] = [];
  #held = 0;
  /** Octets in front of the file: those that went to memory. */
  #beforeFile = 0;
  #descriptor = -1;
  #written = 0;
  /** Octets for the file that no write has taken yet. */
  #waiting: Buffer[] = [];
  #waitingOctets = 0;
  /** Writes and reads of the file under way: until they end it stays open. */
  #using = 0;
  #wake: (() => void)[] = [];
  #smallPieces = 0;
  #block: Buffer | null = null;
  #blockUsed = 0;
  #length = 0;
  #discarded = false;
  /** A reader has had buffers: they may be on their way out. */
  #lent = false;

  constructor(store: SpoolStore) {
    this.#store = store;
  }

  /** Once sealed: how many there are. */
  get octets(): number {
    return this.#length;
  }

  /** The file lags behind: give no more octets until `settled()`. */
  get full(): boolean {
    return this.#waitingOctets > maxWaiting;
  }

  /** Takes octets; the buffer belongs to the spool from now on. */
  append(octets: Buffer): void {
    if (octets.length < smallPiece && ++this.#smallPieces > manyPieces) this.#gather(octets);
    else {
      this.#endBlock();
      this.#take(octets);
    }
  }

  #gather(octets: Buffer): void {
    if (this.#blockUsed + octets.length > blockOctets) this.#endBlock();
    this.#block ??= Buffer.allocUnsafeSlow(blockOctets);
    this.#blockUsed += octets.copy(this.#block, this.#blockUsed);
  }

  #endBlock(): void {
    if (this.#block !== null) this.#take(this.#block.subarray(0, this.#blockUsed));
    this.#block = null;
    this.#blockUsed = 0;
  }

  #take(octets: Buffer): void {
    if (this.failed !== null || this.#discarded || octets.length === 0) return;
    if (this.#descriptor < 0) {
      const roomy = this.#store.held + octets.length <= this.#store.budget;
      if (roomy || this.#held + octets.length <= alwaysInMemory) {
        this.#memory.push(octets);
        this.#beforeFile += octets.length;
        this.#hold(octets.length);
        return;
      }
      if (!this.#openFile()) return;
    }
    this.#waiting.push(octets);
    this.#waitingOctets += octets.length;
    if (this.#waitingOctets >= batchOctets) this.#write();
  }

  /** Resolves at once, or when the write under way has ended. */
  settled(): Promise<void> {
    return this.#using === 0 ? Promise.resolve() : new Promise(resolve => this.#wake.push(resolve));
  }

  /** Ends the spool at `length` octets (what was appended behind them is dropped) and waits until all of them can be read. */
  async seal(length: number): Promise<void> {
    this.#length = length;
    this.#endBlock();
    while (this.failed === null && this.#descriptor >= 0 && (this.#using > 0 || this.#waitingOctets > 0)) {
      this.#write();
      await this.settled();
    }
  }

  /** All octets when they are few and in memory: then one write can take them. Else null. */
  small(): readonly Buffer[] | null {
    if (this.#descriptor >= 0 || this.#length > batchOctets || this.#discarded) return null;
    this.#lent = true;
    return [...this.#batches()].flat();
  }

  /**
   * The octets in order, in batches for one write each. When the next batch is asked for, the one before must have been written out:
   * its buffers are used again and, with `release`, its memory is freed, so that a second reading is impossible.
   */
  async *read({ release }: { release: boolean }): AsyncGenerator<readonly Buffer[], void, undefined> {
    this.#mustBeWhole();
    this.#lent = true;
    const end = this.#length - this.#beforeFile;
    for (const batch of this.#batches()) {
      yield batch;
      this.#mustBeWhole();
      if (release) this.#release(batch);
    }
    if (release) this.#memory = [];
    if (this.#descriptor < 0 || end <= 0) return;
    const buffer = Buffer.allocUnsafeSlow(Math.min(readOctets, end));
    for (let at = 0; at < end; ) {
      const count = await this.#readAt(buffer, Math.min(buffer.length, end - at), at);
      at += count;
      yield [buffer.subarray(0, count)];
      this.#mustBeWhole();
    }
    free(buffer);
  }

  /** Gives everything back. May be called at any time, also twice. */
  discard(): void {
    this.#discarded = true;
    if (!this.#lent) for (const buffer of this.#memory) free(buffer);
    this.#hold(-this.#held);
    this.#memory = [];
    this.#block = null;
    this.#waiting = [];
    this.#waitingOctets = 0;
    if (this.#using === 0) this.#closeFile();
  }

  #hold(octets: number): void {
    this.#held += octets;
    this.#store.held += octets;
  }

  *#batches(): Generator<Buffer[], void, undefined> {
    let batch: Buffer[] = [];
    let octets = 0;
    let rest = this.#length;
    for (const buffer of this.#memory) {
      const used = buffer.length <= rest ? buffer : buffer.subarray(0, rest);
      if (used.length === 0) break;
      batch.push(used);
      octets += used.length;
      rest -= used.length;
      if (octets < batchOctets) continue;
      yield batch;
      batch = [];
      octets = 0;
    }
    if (octets > 0) yield batch;
  }

  /** A reader that went on after `discard()` would see a shorter message. */
  #mustBeWhole(): void {
    if (this.#discarded) throw new Error('the spool was given up');
  }

  #release(batch: readonly Buffer[]): void {
    for (const buffer of batch) {
      this.#hold(-Math.min(buffer.length, this.#held));
      free(buffer);
    }
  }

  #openFile(): boolean {
    try {
      this.#descriptor = openUnlinked(this.#store.directory);
      return true;
    } catch (error) {
      return this.#fail(error);
    }
  }

  #fail(error: unknown): false {
    this.failed = messageOf(error);
    this.discard();
    return false;
  }

  #write(): void {
    if (this.#using > 0 || this.#waitingOctets === 0 || this.failed !== null) return;
    const buffers = this.#waiting;
    const octets = this.#waitingOctets;
    this.#waiting = [];
    this.#waitingOctets = 0;
    this.#using++;
    writev(this.#descriptor, buffers, this.#written, (error, count) => {
      this.#using--;
      if (error !== null) this.#fail(error);
      else if (count < octets) this.#again(buffers, count);
      else {
        this.#written += octets;
        for (const buffer of buffers) free(buffer);
      }
      if (this.#discarded && this.#using === 0) this.#closeFile();
      else if (this.#waitingOctets >= batchOctets) this.#write();
      for (const wake of this.#wake.splice(0)) wake();
    });
  }

  /** A short write: what is left goes first next time; then the disk says why. */
  #again(buffers: readonly Buffer[], count: number): void {
    this.#written += count;
    const rest = Buffer.concat(buffers).subarray(count);
    this.#waiting.unshift(rest);
    this.#waitingOctets += rest.length;
  }

  async #readAt(buffer: Buffer, length: number, position: number): Promise<number> {
    this.#using++;
    try {
      return await new Promise<number>((resolve, reject) =>
        read(this.#descriptor, buffer, 0, length, position, (error, count) => {
          if (error !== null) reject(error);
          else if (count === 0) reject(new Error('the spool file is shorter than what was written'));
          else resolve(count);
        }),
      );
    } finally {
      this.#using--;
      if (this.#discarded && this.#using === 0) this.#closeFile();
    }
  }

  #closeFile(): void {
    if (this.#descriptor < 0) return;
    close(this.#descriptor);
    this.#descriptor = -1;
  }
}

/** Frees the memory of a buffer that has it to itself, at once. */
function free(buffer: Buffer): void {
  const memory = buffer.buffer;
  if (memory instanceof ArrayBuffer && buffer.length === memory.byteLength) memory.transfer(0);
}
