/** The DKIM-Signature field (RFC 6376 3.5, RFC 8301, RFC 8463): what it claims, before anything is verified. */
import { foldCase } from '../../message/address.ts';
import type { Canonicalization } from '../../message/body-digest.ts';
import type { HeaderField } from '../../message/header.ts';
import { compact, decodeBase64, items, parseTags, type TagList } from './tags.ts';

export type Signature = Readonly<{
  field: HeaderField;
  algorithm: 'rsa-sha256' | 'ed25519-sha256';
  headerCanonicalization: Canonicalization;
  bodyCanonicalization: Canonicalization;
  /** d=, ASCII lower case. */
  domain: string;
  /** s=, ASCII lower case. */
  selector: string;
  /** The domain of i=, ASCII lower case; that of d= where i= is missing. */
  identityDomain: string;
  /** Names of the signed fields, lower case, in their order, repetitions included. */
  signedFields: readonly string[];
  bodyHash: Buffer;
  signature: Buffer;
  /** l=, octets of the canonical body. */
  bodyLength: number | null;
  /** t= and x=, seconds since 1970. */
  signedAt: number | null;
  expiresAt: number | null;
  /** Where the value of b= stands in the raw field. */
  signatureSpan: Readonly<{ start: number; end: number }>;
}>;

/** Why a signature cannot even be tried. */
export type SignatureFault =
  | 'malformed tag list'
  | 'version'
  | 'algorithm'
  | 'canonicalization'
  | 'domain'
  | 'selector'
  | 'identity'
  | 'From is not signed'
  | 'malformed h='
  | 'malformed bh='
  | 'malformed b='
  | 'malformed l='
  | 'malformed t= or x='
  | 'query method';

const dnsName =
  /^(?:[a-z0-9_\x80-\xff](?:[a-z0-9_\x80-\xff-]{0,61}[a-z0-9_\x80-\xff])?\.)*[a-z0-9_\x80-\xff](?:[a-z0-9_\x80-\xff-]{0,61}[a-z0-9_\x80-\xff])?$/;

/** d= of a field, for choosing which signatures to try; null where it cannot be told. */
export function claimedDomain(field: HeaderField): string | null {
  const value = parseTags(field.value)?.get('d')?.value;
  return value === undefined ? null : foldCase(value);
}

export function parseSignature(field: HeaderField): Signature | SignatureFault {
  const tags = parseTags(field.value);
  if (tags === null) return 'malformed tag list';
  const text = (name: string) => tags.get(name)?.value;
  if (text('v') !== '1') return 'version';
  const algorithm = text('a')?.toLowerCase();
  if (algorithm !== 'rsa-sha256' && algorithm !== 'ed25519-sha256') return 'algorithm';
  const canonicalizations = readCanonicalizations(text('c'));
  if (canonicalizations === null) return 'canonicalization';
  const domain = readName(text('d'));
  if (domain === null) return 'domain';
  const selector = readName(text('s'));
  if (selector === null) return 'selector';
  const identityDomain = readIdentity(text('i'), domain);
  if (identityDomain === null) return 'identity';
  const signedFields = items(text('h') ?? '');
  if (!signedFields.every(name => /^[\x21-\x39\x3b-\x7e]+$/.test(name))) return 'malformed h=';
  if (!signedFields.includes('from')) return 'From is not signed';
  const bodyHash = decodeBase64(text('bh') ?? '');
  if (bodyHash?.length !== 32) return 'malformed bh=';
  const signature = decodeBase64(text('b') ?? '');
  if (signature === null || signature.length === 0) return 'malformed b=';
  const bodyLength = readNumber(text('l'), 76);
  if (bodyLength === undefined) return 'malformed l=';
  const signedAt = readNumber(text('t'), 12);
  const expiresAt = readNumber(text('x'), 12);
  if (signedAt === undefined || expiresAt === undefined) return 'malformed t= or x=';
  if (signedAt !== null && expiresAt !== null && expiresAt <= signedAt) return 'malformed t= or x=';
  if (text('q') !== undefined && !items(text('q') ?? '').includes('dns/txt')) return 'query method';
  return {
    field,
    algorithm,
    ...canonicalizations,
    domain,
    selector,
    identityDomain,
    signedFields,
    bodyHash,
    signature,
    bodyLength,
    signedAt,
    expiresAt,
    signatureSpan: spanOfB(field, tags),
  };
}

function readCanonicalizations(
  value = 'simple/simple',
): Pick<Signature, 'headerCanonicalization' | 'bodyCanonicalization'> | null {
  const [header, body = 'simple', ...more] = value.toLowerCase().split('/');
  if (!isCanonicalization(header) || !isCanonicalization(body) || more.length > 0) return null;
  return { headerCanonicalization: header, bodyCanonicalization: body };
}

function isCanonicalization(name: string | undefined): name is Canonicalization {
  return name === 'simple' || name === 'relaxed';
}

function readName(value: string | undefined): string | null {
  const name = foldCase(value ?? '');
  return name.length <= 253 && dnsName.test(name) ? name : null;
}

/** The domain of i=, which must be d= or below it. */
function readIdentity(value: string | undefined, domain: string): string | null {
  if (value === undefined) return domain;
  const at = value.lastIndexOf('@');
  const identityDomain = foldCase(compact(value.slice(at + 1)));
  const under = identityDomain === domain || identityDomain.endsWith(`.${domain}`);
  return at >= 0 && under && dnsName.test(identityDomain) ? identityDomain : null;
}

/** A number of at most so many digits; null where the tag is missing, undefined where it is malformed. */
function readNumber(value: string | undefined, digits: number): number | null | undefined {
  if (value === undefined) return null;
  return /^\d+$/.test(value) && value.length <= digits ? Number(value) : undefined;
}

function spanOfB({ raw, value }: HeaderField, tags: TagList): Signature['signatureSpan'] {
  const offset = raw.length - value.length;
  const { start, end } = tags.get('b') ?? { start: 0, end: 0 };
  return { start: offset + start, end: offset + end };
}
