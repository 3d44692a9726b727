/** Whether our verdict on each signature of a message is mailauth's, apart from what we refuse on purpose. */
import assert from 'node:assert/strict';
import { type Opinion, opinions } from './oracle.ts';
import { domain, now } from './signer.ts';
import { ed25519, rsa } from './test-keys.ts';
import { verdicts, type Zone } from './verify.ts';

export const bothKeys: Zone = {
  [`s1._domainkey.${domain}`]: [[rsa.record]],
  [`s2._domainkey.${domain}`]: [[ed25519.record]],
};

type Tags = ReadonlyMap<string, string>;

/** By our fault: when mailauth may pass a signature all the same. Each has its row in `deviations.test.ts`. */
const stricter: Readonly<Record<string, (tags: Tags, opinion: Opinion, message: string) => boolean>> = {
  unaligned: () => true,
  'not tried': () => true,
  'l= is not the length of the body': (tags, { octets }) => Number(tags.get('l')) !== octets,
  'malformed b=': tags => !isBase64(tags.get('b') ?? ''),
  'malformed h=': tags => !(tags.get('h') ?? '').split(':').every(name => /^[ \t\r\n]*[!-9;-~]+[ \t\r\n]*$/.test(name)),
  canonicalization: tags => !/^(?:simple|relaxed)(?:\/(?:simple|relaxed))?$/i.test(tags.get('c') ?? 'simple'),
  'signed in the future': tags => Number(tags.get('t')) > now + 600,
  'a field stands more often than it is signed': (tags, _, message) => hasTwin(message, tags.get('h') ?? ''),
  identity: tags => !(tags.get('i') ?? '@').includes('@'),
};

/** Takes octets without a bare CR or LF and returns our verdicts. */
export async function agreed(message: string, zone: Zone = bothKeys): Promise<string[]> {
  const ours = verdicts(message, { zone, now, domain, pieces: [1, 3, 7, 100] });
  // Such a message is refused before anybody asks about signatures.
  if (typeof ours === 'string') return [];
  const theirs = await opinions(message, zone, now);
  const fields = signatureFields(message);
  assert.equal(theirs.length, ours.length);
  for (const [index, verdict] of ours.entries()) {
    const opinion = theirs[index];
    assert.ok(opinion);
    if (opinion.passes === (verdict === 'pass')) continue;
    const tags = tagsOf(fields[index] ?? '');
    assert.ok(
      opinion.passes && (stricter[verdict]?.(tags, opinion, message) ?? false),
      `ours: ${verdict}; theirs: ${opinion.reason}; ${JSON.stringify(message)}`,
    );
  }
  return ours;
}

const single = /^(?:sender|reply-to|to|cc|subject|date|content-type|content-transfer-encoding|autocrypt|secure-join)$/;

/** Whether a field that h= names, of a kind that a message has once, is there more often than h= names it. */
export function hasTwin(message: string, names: string): boolean {
  const [header = ''] = message.split('\r\n\r\n', 1);
  const nameOf = (field: string) => field.slice(0, field.indexOf(':')).trim().toLowerCase();
  const present = header.split(/\r\n(?![ \t])/).map(nameOf);
  const named = names.split(':').map(name => name.trim().toLowerCase());
  const times = (list: readonly string[], name: string) => list.filter(other => other === name).length;
  return named.some(name => single.test(name) && times(present, name) > times(named, name));
}

export function signatureFields(message: string): string[] {
  const [header = ''] = message.split('\r\n\r\n', 1);
  return header.split(/\r\n(?![ \t])/).filter(field => /^dkim-signature[ \t]*:/i.test(field));
}

function tagsOf(field: string): Tags {
  const specs = field.slice(field.indexOf(':') + 1).split(';');
  return new Map(
    specs.map(spec => {
      const [name = '', ...value] = spec.split('=');
      return [name.trim(), value.join('=').replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, '')];
    }),
  );
}

/** RFC 6376 2.10: white space anywhere, padding or none. */
function isBase64(text: string): boolean {
  const digits = text.replace(/[ \t\r\n]/g, '');
  return /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/.test(digits);
}
