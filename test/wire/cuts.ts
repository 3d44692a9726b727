// The ways to cut octets into chunks. A codec must not notice them.

/** Up to this many octets the three-way cuts are tried too: their number grows with the square. */
const shortOctets = 48;

export function latin1(octets: string): Buffer {
  return Buffer.from(octets, 'latin1');
}

/** Whole, octet by octet, in two at every offset and, when short, in three at every pair of offsets. */
export function* cuts(octets: string): Generator<readonly string[]> {
  yield [octets];
  yield [...octets];
  for (let one = 1; one < octets.length; one++) {
    yield [octets.slice(0, one), octets.slice(one)];
    if (octets.length > shortOctets) continue;
    for (let two = one + 1; two < octets.length; two++) {
      yield [octets.slice(0, one), octets.slice(one, two), octets.slice(two)];
    }
  }
}

/** In pieces of `size` octets: for inputs too long for every cut. */
export function pieces(octets: string, size: number): string[] {
  const all: string[] = [];
  for (let at = 0; at < octets.length; at += size) all.push(octets.slice(at, at + size));
  return all;
}

/** How the chunks fall, for the message of a failed assertion. */
export function describeCut(chunks: readonly string[]): string {
  return `cut ${chunks.map(chunk => chunk.length).join('+')}: ${JSON.stringify(chunks.join('').slice(0, 200))}`;
}
