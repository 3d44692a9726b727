// What a failed test leaves behind would keep the test process from ending: it is undone with the last test of the file, or on a signal.

import { after } from 'node:test';
import { undoAtExit } from '../relay/leftovers.ts';

const pending = new Set<() => void>();

/** Registers a synchronous way to undo something; returns what to call when it has been undone in the ordinary way. */
export function undoAtEnd(undo: () => void): () => void {
  const forget = undoAtExit(undo);
  pending.add(undo);
  return () => {
    forget();
    pending.delete(undo);
  };
}

after(() => {
  for (const undo of [...pending].reverse()) undo();
});
