// Messages in wire form, with the envelope they are sent in.

import { wire } from '../relay/client.ts';
import { readable, type Sealed, sealed } from '../relay/mail.ts';
import type { Mail } from './client.ts';

export const alice = 'alice@one.test';
export const bob = 'bob@two.test';

export { wire };

/** An encrypted message of about `size` octets, a packet of noise in 76 columns of armor. */
export function encrypted(options: Partial<Sealed> = {}, envelope: Partial<Mail> = {}): Mail {
  const from = options.from ?? envelope.from ?? alice;
  return { from, to: [bob], wire: wire(sealed({ ...options, from })), ...envelope };
}

/** A message anyone can read. */
export function plain(body: string, from = alice, to: readonly string[] = [bob]): Mail {
  return { from, to, wire: wire(readable({ from }, body)) };
}

/** A message whose text, an octet string, is given whole. */
export function written(text: string, from = 'me@one.test', to: readonly string[] = [bob]): Mail {
  return { from, to, wire: wire(Buffer.from(text, 'latin1')) };
}

/** Octets as they are to go over the wire, the end included. */
export function raw(octets: string, from = alice): Mail {
  return { from, to: [bob], wire: Buffer.from(octets, 'latin1') };
}
