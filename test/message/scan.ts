import { type Evidence, MessageScanner } from '../../src/message/scanner.ts';

/** The evidence of a message that arrives in these pieces. */
export function scan(pieces: readonly string[]): Evidence {
  const scanner = new MessageScanner();
  for (const piece of pieces) scanner.feed(piece);
  return scanner.end();
}
