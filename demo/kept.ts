/** Where the filter keeps refused mail for the admin to look at. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A message as a file; `path` is below the relay's directory. */
export type Kept = Readonly<{ path: string; message: Buffer }>;

const folder = 'rejected';

export class KeptMail {
  readonly directory: string;
  readonly #relay: string;
  readonly #taken = new Set<string>();

  constructor(relayDirectory: string) {
    this.#relay = relayDirectory;
    this.directory = join(relayDirectory, folder);
  }

  /** What was kept since the last call. The files stay. */
  take(): readonly Kept[] {
    const paths = globSync(`${folder}/**/*.eml`, { cwd: this.#relay }).filter(path => !this.#taken.has(path));
    return paths.map(path => {
      this.#taken.add(path);
      return { path, message: readFileSync(join(this.#relay, path)) };
    });
  }
}
