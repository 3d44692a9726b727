/** The ways in which the tables feed a streaming reader: the result must never depend on where the octets were cut. */
import assert from 'node:assert/strict';

// Above it every offset would take too long; then a stride that is no multiple of a base64 line visits all phases.
const everyOffsetBelow = 4000;

export function* cutsOf(text: string): Generator<{ cut: string; pieces: string[] }> {
  const stride = text.length < everyOffsetBelow ? 1 : Math.ceil(text.length / 211);
  for (let at = 1; at < text.length; at += stride) {
    yield { cut: `at ${at}`, pieces: [text.slice(0, at), text.slice(at)] };
  }
  yield { cut: 'with empty pieces', pieces: ['', ...[text.slice(0, 7), text.slice(7)].flatMap(piece => [piece, ''])] };
  if (text.length < 100_000) yield { cut: 'octet by octet', pieces: [...text] };
  for (const size of [2, 3, 64, 1000]) {
    if (text.length <= size * 2000) yield { cut: `into ${size}s`, pieces: piecesOf(text, size) };
  }
}

export function piecesOf(text: string, size: number): string[] {
  return Array.from({ length: Math.ceil(text.length / size) }, (_, index) =>
    text.slice(index * size, (index + 1) * size),
  );
}

/** Reads the text whole and in all other ways; returns the one result. */
export function readInAllCuts<Result>(text: string, read: (pieces: readonly string[]) => Result): Result {
  const whole = read([text]);
  for (const { cut, pieces } of cutsOf(text)) {
    assert.deepEqual(read(pieces), whole, `cut ${cut} gives something else than whole`);
  }
  return whole;
}
