// A log, line by line as it is written, so that a test can wait for an event instead of a time.

import { closeSync, openSync, readSync, watch } from 'node:fs';
import type { Readable } from 'node:stream';

export class Lines {
  readonly all: string[] = [];
  readonly #watchers = new Set<() => void>();

  static of(stream: Readable): Lines {
    const lines = new Lines();
    lines.read(stream);
    return lines;
  }

  /** Each stream has lines of its own. */
  read(stream: Readable): void {
    stream.setEncoding('utf8');
    stream.on('data', this.#writer());
  }

  /** Of a file that grows; the function ends it. */
  static follow(path: string): [Lines, () => void] {
    const lines = new Lines();
    const file = openSync(path, 'r');
    const chunk = Buffer.alloc(65536);
    const add = lines.#writer();
    const read = () => {
      for (let length: number; (length = readSync(file, chunk)) > 0; ) add(chunk.toString('utf8', 0, length));
    };
    const watcher = watch(path, { persistent: false }, read);
    const end = () => {
      watcher.close();
      read();
      closeSync(file);
    };
    return [lines, end];
  }

  #writer(): (text: string) => void {
    let rest = '';
    return text => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      this.all.push(...lines);
      for (const look of this.#watchers) look();
    };
  }

  /** A position to give to `since` and `find`: what was logged before it does not count. */
  get mark(): number {
    return this.all.length;
  }

  since(mark: number): string[] {
    return this.all.slice(mark);
  }

  /** The first line that matches, logged after `mark`: at once if it is there already. */
  find(pattern: RegExp, mark = 0): Promise<string> {
    return this.until(() => this.all.slice(mark).find(line => pattern.test(line)), `no line ${pattern}`);
  }

  /** Looks again after each line, until there is something. */
  until<Found>(look: () => Found | undefined, complaint: string, withinMs = 20_000): Promise<Found> {
    return new Promise((resolve, reject) => {
      const again = () => {
        const found = look();
        if (found === undefined) return;
        end();
        resolve(found);
      };
      const late = () => {
        end();
        reject(new Error(`${complaint} within ${withinMs} ms; the last ones:\n${this.all.slice(-20).join('\n')}`));
      };
      const end = () => {
        clearTimeout(timer);
        this.#watchers.delete(again);
      };
      const timer = setTimeout(late, withinMs);
      this.#watchers.add(again);
      again();
    });
  }
}
