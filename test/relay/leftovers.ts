// What a test file has started or created goes away with it: after a failure and on a signal too.

const pending = new Set<() => void>();

/** Registers a synchronous way to undo something; returns what to call when it has been undone in the ordinary way. */
export function undoAtExit(undo: () => void): () => void {
  pending.add(undo);
  return () => pending.delete(undo);
}

process.on('exit', () => {
  for (const undo of [...pending].reverse()) undo();
});

for (const [signal, number] of [
  ['SIGHUP', 1],
  ['SIGINT', 2],
  ['SIGTERM', 15],
] as const) {
  process.once(signal, () => process.exit(128 + number));
}
