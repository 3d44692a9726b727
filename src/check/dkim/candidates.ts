/** Which signatures of a message are worth trying: those whose d= is the From domain itself. */
import type { Canonicalization } from '../../message/body-digest.ts';
import type { Header } from '../../message/header.ts';
import { claimedDomain, parseSignature, type Signature, type SignatureFault } from './signature.ts';

export type Candidates = Readonly<{
  /** How many DKIM-Signature fields there are. */
  fields: number;
  usable: readonly Signature[];
  /** Aligned ones that cannot be tried, and why. */
  faulty: readonly SignatureFault[];
  /** How many aligned ones are left out because there are too many. */
  untried: number;
  /** How many do not tell their domain: the tag list is malformed or has no d=. */
  unreadable: number;
  /** Domains of the others, as they claim; they are only logged. */
  unaligned: readonly string[];
}>;

const maxTried = 10;

/** `authorDomain` in ASCII lower case. */
export function dkimCandidates(header: Header, authorDomain: string): Candidates {
  const fields = header.filter(({ name }) => name === 'dkim-signature');
  const usable: Signature[] = [];
  const faulty: SignatureFault[] = [];
  const unaligned: string[] = [];
  let untried = 0;
  let unreadable = 0;
  for (const field of fields) {
    const domain = claimedDomain(field);
    if (domain === null) unreadable++;
    else if (domain !== authorDomain) unaligned.push(domain);
    else if (usable.length + faulty.length === maxTried) untried++;
    else {
      const signature = parseSignature(field);
      if (typeof signature === 'string') faulty.push(signature);
      else usable.push(signature);
    }
  }
  return { fields: fields.length, usable, faulty, untried, unreadable, unaligned };
}

/** The body digests that the candidates need. */
export function digestsFor({ usable }: Candidates): readonly Canonicalization[] {
  return [...new Set(usable.map(({ bodyCanonicalization }) => bodyCanonicalization))];
}
