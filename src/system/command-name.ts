/** The command name of this process: `/proc/PID/comm`, which `ss -p` and `ps` show. */
import { writeFileSync } from 'node:fs';

/** `process.title` would write over the arguments as well, by which `pgrep -f` tells the modes apart: it is for systems without /proc. */
export function setCommandName(name: string): void {
  try {
    writeFileSync('/proc/self/comm', name);
  } catch {
    process.title = name;
  }
}
