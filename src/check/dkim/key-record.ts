/** DKIM public keys as DNS publishes them (RFC 6376 3.6.1, RFC 8301, RFC 8463). */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { decodeBase64, items, parseTags } from './tags.ts';

export type DkimKey = Readonly<{
  type: 'rsa' | 'ed25519';
  key: KeyObject;
  /** h= allows sha256. */
  allowsSha256: boolean;
  /** t=s: i= must be d= itself. */
  strict: boolean;
}>;

export type KeyFault =
  | 'no DKIM record'
  | 'revoked'
  | 'not for email'
  | 'unknown key type'
  | 'malformed key'
  | 'RSA key size'
  | 'RSA exponent 1'
  | 'RSA exponent over 64 bits';

const minModulusBits = 1024;
const maxModulusBits = 8192;
/** PKCS #8 head of a raw ed25519 key (RFC 8410). */
const ed25519Head = Buffer.from('302a300506032b6570032100', 'hex');

/**
 * The key among the TXT records of one name, each given as its strings. Records that are none of DKIM may stand beside it; of several keys
 * the first that is usable counts.
 */
export function readKeyRecords(records: readonly (readonly string[])[]): DkimKey | KeyFault {
  let fault: KeyFault = 'no DKIM record';
  for (const strings of records) {
    const result = readKeyRecord(strings.join(''));
    if (typeof result === 'object') return result;
    if (fault === 'no DKIM record') fault = result;
  }
  return fault;
}

function readKeyRecord(record: string): DkimKey | KeyFault {
  // Zone files and web forms leave quotes, `\"` and `\;` behind.
  const tags = parseTags(record.replaceAll('\\;', ';').replaceAll(/\\?"/g, ''));
  const text = (name: string) => tags?.get(name)?.value;
  const published = text('p');
  if (published === undefined || (text('v') ?? 'DKIM1') !== 'DKIM1') return 'no DKIM record';
  const services = items(text('s') ?? '*');
  if (!services.includes('*') && !services.includes('email')) return 'not for email';
  const type = (text('k') ?? 'rsa').toLowerCase();
  if (type !== 'rsa' && type !== 'ed25519') return 'unknown key type';
  if (published === '') return 'revoked';
  const key = importKey(type, published);
  if (typeof key === 'string') return key;
  const hashes = text('h');
  return {
    type,
    key,
    allowsSha256: hashes === undefined || items(hashes).includes('sha256'),
    strict: items(text('t') ?? '').includes('s'),
  };
}

function importKey(type: 'rsa' | 'ed25519', encoded: string): KeyObject | KeyFault {
  const der = decodeBase64(encoded);
  if (der === null) return 'malformed key';
  let key: KeyObject;
  try {
    key = type === 'rsa' ? importRsa(der) : importEd25519(der);
  } catch {
    return 'malformed key';
  }
  if (type === 'ed25519') return key;
  if (key.asymmetricKeyType !== 'rsa') return 'malformed key';
  const { modulusLength = 0, publicExponent = 1n } = key.asymmetricKeyDetails ?? {};
  if (publicExponent === 1n) return 'RSA exponent 1';
  // One of 3000 bits takes a hundred times as long to verify.
  if (publicExponent >= 1n << 64n) return 'RSA exponent over 64 bits';
  return modulusLength < minModulusBits || modulusLength > maxModulusBits ? 'RSA key size' : key;
}

function importRsa(der: Buffer): KeyObject {
  try {
    return createPublicKey({ key: der, format: 'der', type: 'spki' });
  } catch {
    // RFC 6376 names PKCS #1; what everybody publishes is the form above.
    return createPublicKey({ key: der, format: 'der', type: 'pkcs1' });
  }
}

function importEd25519(raw: Buffer): KeyObject {
  if (raw.length !== 32) throw new RangeError('an ed25519 key has 32 octets');
  return createPublicKey({ key: Buffer.concat([ed25519Head, raw]), format: 'der', type: 'spki' });
}
