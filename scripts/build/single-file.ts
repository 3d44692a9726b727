/**
 * Node and the program in one executable file (https://nodejs.org/api/single-executable-applications.html).
 *
 * No code cache: it would save 15 ms of the start, is 1 MB, and is of use only to the architecture that wrote it.
 * NODE_OPTIONS is not heard: the environment of a mail service is no place to change how its program runs.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import type { Bundle } from './bundle.ts';
import { nodeFlags, run } from './release.ts';

export async function makeSingleFile(bundle: Bundle, node: string, file: string): Promise<void> {
  const config = {
    // Relative to the directory in which Node runs: the file remembers this path.
    main: bundle.program,
    mainFormat: 'module',
    assets: { [bundle.library]: bundle.library },
    executable: node,
    output: file,
    execArgv: nodeFlags,
    execArgvExtension: 'none',
    disableExperimentalSEAWarning: true,
  };
  const path = `${file}.json`;
  writeFileSync(path, JSON.stringify(config));
  await run(process.execPath, [`--build-sea=${path}`], bundle.directory);
  chmodSync(file, 0o755);
}
