/**
 * The log: one event a line on stderr, `LEVEL message`, no time (journald adds it). Lines go out together after 20 ms at most: a busy
 * relay writes thousands a second. When nobody reads, at most 1 MiB waits and the rest is dropped and
 * counted: mail goes on.
 */
import { writeSync } from 'node:fs';
import { codeOf } from './errors.ts';

const levels = ['error', 'warn', 'info', 'debug', 'trace'] as const;

export type Level = (typeof levels)[number];

export type Log = Readonly<Record<Level, (message: string) => void>> & Readonly<{ flush(): void }>;

/**
 * How many of the levels are on, from env_logger's filter syntax: a comma-separated list of `level`, `target=level` or `target`,
 * the most specific for the target `filtermail` winning; whatever follows `/` is a pattern and ignored. Default: info.
 */
export function levelsOn(filter: string): number {
  const [directives = ''] = filter.split('/', 1);
  let byDefault: number | null = null;
  let ours: number | null = null;
  for (const directive of directives.split(',')) {
    const [target = '', level] = directive.trim().split('=', 2);
    if (target === 'filtermail') ours = level === undefined ? levels.length : (levelNumber(level) ?? ours);
    else if (level === undefined) byDefault = levelNumber(target) ?? byDefault;
  }
  return ours ?? byDefault ?? (directives.trim() === '' ? levels.indexOf('info') + 1 : levels.indexOf('error') + 1);
}

function levelNumber(name: string): number | null {
  const folded = name.trim().toLowerCase();
  if (folded === 'off') return 0;
  const index = (levels as readonly string[]).indexOf(folded);
  return index < 0 ? null : index + 1;
}

const maxPending = 1_048_576;
const gatherFor = 20;
const retryAfter = 50;

/** A log on a file descriptor. Messages are made safe here: one line, ASCII; quoting foreign text is the caller's. */
export function openLog(filter: string, descriptor = 2): Log {
  const on = levelsOn(filter);
  let pending = '';
  let dropped = 0;
  let timer: NodeJS.Timeout | null = null;

  function flush(): void {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    while (pending !== '') {
      try {
        pending = pending.slice(writeSync(descriptor, pending, null, 'latin1'));
      } catch (error) {
        if (codeOf(error) === 'EAGAIN') timer = setTimeout(flush, retryAfter).unref();
        else pending = '';
        return;
      }
    }
    if (dropped > 0) {
      pending = `WARN ${dropped} log lines were dropped because nobody read them\n`;
      dropped = 0;
      flush();
    }
  }

  function write(label: string, message: string): void {
    // Once lines are missing, the next one to be seen is the one that says so.
    if (dropped > 0 || pending.length > maxPending) {
      dropped++;
      return;
    }
    pending += `${label} ${message.replace(/[^\x20-\x7e]/g, '?')}\n`;
    timer ??= setTimeout(flush, gatherFor);
  }

  const at = (level: Level) => {
    const label = level.toUpperCase();
    return levels.indexOf(level) < on ? (message: string) => write(label, message) : () => undefined;
  };
  return Object.freeze({
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    trace: at('trace'),
    flush,
  });
}
