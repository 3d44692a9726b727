// For what the kernel tells only when asked: descriptors, memory, files.

import { setTimeout as sleep } from 'node:timers/promises';

/** Tries until `check` throws no more, and throws what it threw last when that takes too long. */
export async function eventually(check: () => void, withinMs = 10_000): Promise<void> {
  const end = performance.now() + withinMs;
  for (;;) {
    try {
      check();
      return;
    } catch (error) {
      if (performance.now() > end) throw error;
    }
    await sleep(20);
  }
}
