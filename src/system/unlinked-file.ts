/** Files without a name: gone when they are closed, however that comes. */
import { randomBytes } from 'node:crypto';
import { closeSync, constants, openSync, statfsSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { causeOf, codeOf } from './errors.ts';

const tmpFile = 0o20000000; // O_TMPFILE of Linux on x64 and arm64, without O_DIRECTORY
// tmpfs and ramfs, from Linux's magic.h.
const memoryFileSystems = [0x01021994, 0x858458f6];

/** Opens a new file in `directory` for writing and reading. Throws a system error. */
export function openUnlinked(directory: string): number {
  const { O_RDWR, O_DIRECTORY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  try {
    return openSync(directory, tmpFile | O_DIRECTORY | O_RDWR, 0o600);
  } catch (error) {
    // Some file systems have no O_TMPFILE.
    const code = codeOf(error);
    if (code !== 'EOPNOTSUPP' && code !== 'EISDIR') throw error;
  }
  const path = join(directory, `filtermail-${randomBytes(12).toString('hex')}`);
  const descriptor = openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  unlinkSync(path);
  return descriptor;
}

/** Why spool files would fail or defeat their purpose, in words for the log; null when all is well. */
export function spoolTrouble(directory: string): string | null {
  try {
    closeSync(openUnlinked(directory));
    return memoryFileSystems.includes(statfsSync(directory).type) ? 'it is a memory file system' : null;
  } catch (error) {
    return causeOf(error);
  }
}
