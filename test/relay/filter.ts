// The real binary as a child process.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { undoAtExit } from './leftovers.ts';
import { Lines } from './lines.ts';
import type { Direction } from './postfix-setup.ts';

/** The one of this tree, or an installed one: `FILTERMAIL=/usr/bin/filtermail npm run test:relay`. */
const binary = process.env.FILTERMAIL ?? fileURLToPath(new URL('../../bin/filtermail', import.meta.url));

export interface Filter {
  readonly log: Lines;
  readonly pid: number;
  /** Tells it to stop; its exit code, or the signal that ended it. */
  stop(): Promise<number | string>;
  /** Ends it at once. */
  kill(): Promise<number | string>;
}

export async function startFilter(config: string, mode: Direction | 'transport'): Promise<Filter> {
  const child = spawn(binary, [config, mode], { stdio: ['ignore', 'inherit', 'pipe'] });
  const exited = once(child, 'exit').then(([code, signal]): number | string => code ?? signal);
  const log = Lines.of(child.stderr);
  const gone = undoAtExit(() => child.kill('SIGKILL'));
  void exited.then(gone, gone);

  try {
    const early = exited.then(status => {
      throw new Error(`filtermail ended at once (${status}):\n${log.all.join('\n')}`);
    });
    early.catch(() => undefined); // once it serves, `stop` tells
    await Promise.race([log.find(/entering serving loop/), early]);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }

  const end = (signal: NodeJS.Signals) => {
    child.kill(signal);
    return exited;
  };
  return { log, pid: child.pid ?? 0, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') };
}
