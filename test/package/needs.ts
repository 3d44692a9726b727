// What some tests need of the machine. Without it they are left out and say why; where CI=true nothing may be left out.

import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

/** Why there can be no throw-away roots here. */
export function whyNoRoots(...programs: readonly string[]): string | null {
  if (process.getuid?.() !== 0) return 'throw-away roots need root';
  for (const program of ['unshare', 'nsenter', 'chroot', ...programs])
    if (!runs('sh', '-c', `command -v ${program}`)) return `${program} is missing`;
  if (!runs('unshare', '--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'))
    return 'unshare --mount is not allowed here';
  return null;
}

/** Whether the tests are to be; if not, one that is skipped, or fails, stands for them. */
export function are(reason: string | null): boolean {
  if (reason === null) return true;
  const skip = process.env.CI !== 'true';
  test(reason, { skip: skip && reason }, () => {
    throw new Error(`${reason}, and CI=true leaves nothing out`);
  });
  return false;
}

function runs(command: string, ...args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
