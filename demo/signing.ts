/** The signatures (DKIM) that relays put on messages. */
import type { DnsServer } from '../test/peers/dns-server.ts';
import { Signer } from '../test/peers/signer.ts';
import type { Letter } from './messages.ts';

/** A signer whose key is in the DNS. */
export function publishedSigner(dns: DnsServer, signingDomain: string, selector?: string): Signer {
  const signer = new Signer(signingDomain, selector);
  dns.txt(signer.name, [signer.record]);
  return signer;
}

export async function signed(letter: Letter, signer: Signer): Promise<Letter> {
  return { ...letter, message: await signer.sign(letter.message) };
}
