/** What modes have in common when they start and stop. */
import { quotedText } from '../message/text.ts';
import type { Settings } from '../settings/settings.ts';
import type { Log } from '../system/log.ts';
import { spoolTrouble } from '../system/unlinked-file.ts';

/** What `main` knows of a mode that has started. */
export interface Running {
  /** Stops accepting, lets transactions end (bounded), gives back what was open. */
  stop(): Promise<void>;
}

/** How long transactions may take to end once the process is told to stop. */
export const stopGrace = 10_000;

export function warnOfSpool({ spoolDir }: Settings, log: Log, label: string): void {
  const trouble = spoolTrouble(spoolDir);
  warnOfDirectory(log, `${label}: large mail may be refused`, 'filtermail_spool_dir', spoolDir, trouble);
}

/** Says what comes of it that a directory of the configuration is of no use; nothing where there is no trouble. */
export function warnOfDirectory(
  log: Log,
  consequence: string,
  key: string,
  path: string,
  trouble: string | null,
): void {
  if (trouble !== null) log.warn(`${consequence}: ${key} ${quotedText(path)}: ${quotedText(trouble)}`);
}
