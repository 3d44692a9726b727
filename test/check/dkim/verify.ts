/** DKIM verification of whole messages (octet strings) as a mode does it: header and body in pieces, keys and time given. */
import assert from 'node:assert/strict';
import { digestsFor, dkimCandidates } from '../../../src/check/dkim/candidates.ts';
import { readKeyRecords } from '../../../src/check/dkim/key-record.ts';
import { claimedDomain, parseSignature } from '../../../src/check/dkim/signature.ts';
import { checkClaims, checkSignature } from '../../../src/check/dkim/verify.ts';
import { foldCase } from '../../../src/message/address.ts';
import { type BodyDigest, BodyDigester, type Canonicalization } from '../../../src/message/body-digest.ts';
import { authorOf } from '../../../src/message/from.ts';
import { type Header, HeaderReader } from '../../../src/message/header.ts';

/** TXT records by name, each record as its strings. */
export type Zone = Readonly<Record<string, readonly (readonly string[])[]>>;

export type Circumstances = Readonly<{
  zone: Zone;
  /** Seconds since 1970. */
  now: number;
  /** In place of the domain of the only author. */
  domain?: string;
  /** Octets of the pieces in which header and body arrive, in turn. */
  pieces?: readonly number[];
}>;

/** `pass`, or why not, for each DKIM-Signature field in the order of the header; for a message that cannot be tried one word. */
export function verdicts(message: string, { zone, now, domain, pieces = [777] }: Circumstances): string[] | string {
  const { header, body } = takeApart(message, pieces);
  if (typeof header === 'string') return header;
  const author = foldCase(domain ?? authorOf(header)?.split('@').at(-1) ?? '');
  if (author === '') return 'no single author';
  const candidates = dkimCandidates(header, author);
  const digests = new Map(digestsFor(candidates).map(form => [form, digest(body, form, pieces)]));
  const all = header
    .filter(({ name }) => name === 'dkim-signature')
    .map(field => ({ field, domain: claimedDomain(field) }));
  assert.equal(candidates.fields, all.length);
  const usable = [...candidates.usable];
  const faulty = [...candidates.faulty];
  const words = all.map(one => {
    if (one.domain !== author) return 'unaligned';
    if (usable[0]?.field === one.field) {
      const signature = usable.shift();
      const bodyDigest = digests.get(signature?.bodyCanonicalization ?? 'simple');
      assert.ok(signature !== undefined && bodyDigest !== undefined);
      const key = readKeyRecords(zone[`${signature.selector}._domainkey.${signature.domain}`] ?? []);
      if (typeof key === 'string') return key;
      return checkClaims(signature, bodyDigest, now) ?? checkSignature(signature, header, key) ?? 'pass';
    }
    if (typeof parseSignature(one.field) === 'string') return faulty.shift() ?? 'not tried';
    return 'not tried';
  });
  assert.equal(usable.length + faulty.length, 0, 'every candidate is one of the fields');
  return words;
}

export function digest(body: string, form: Canonicalization, pieces: readonly number[]): BodyDigest {
  const digester = new BodyDigester(form);
  for (const piece of cut(body, pieces)) digester.feed(piece);
  return digester.end();
}

function takeApart(message: string, pieces: readonly number[]): { header: Header | string; body: string } {
  const reader = new HeaderReader();
  let read = 0;
  for (const piece of cut(message, pieces)) {
    const end = reader.feed(piece, 0);
    if (end === 'oversize') return { header: end, body: '' };
    if (end >= 0) return { header: reader.fields(), body: message.slice(read + end) };
    read += piece.length;
  }
  return { header: reader.fields(), body: '' };
}

function* cut(text: string, sizes: readonly number[]): Generator<string> {
  for (let from = 0, index = 0; from < text.length; index++) {
    const size = sizes[index % sizes.length] ?? text.length;
    yield text.slice(from, from + size);
    from += size;
  }
}
