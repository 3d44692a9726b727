/**
 * Addresses as octet strings (latin1): the forms that the checks distinguish. Case is folded for ASCII letters only (RFC 5321 2.4).
 */
import { isUtf8 } from './text.ts';

// atext of RFC 5322 3.2.3 with the non-ASCII octets of RFC 6531 3.3.
const dotString = /^[\w!#$%&'*+\-/=?^`{|}~\x80-\xff]+(?:\.[\w!#$%&'*+\-/=?^`{|}~\x80-\xff]+)*$/;
const domainLabel = /^[a-z0-9_\x80-\xff](?:[a-z0-9_\x80-\xff-]{0,61}[a-z0-9_\x80-\xff])?$/i;
const octet = String.raw`(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)`;
const ipv4 = new RegExp(String.raw`^${octet}(?:\.${octet}){3}$`);
const plainLocalPart = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*(?:\+[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)?$/i;

export type SplitAddress = Readonly<{ localPart: string; domain: string }>;

/** Folds ASCII letters to lower case and nothing else: other octets may be parts of UTF-8 characters. */
export function foldCase(octets: string): string {
  return /[A-Z]/.test(octets) ? octets.replace(/[A-Z]+/g, letters => letters.toLowerCase()) : octets;
}

export function sameAddress(one: string, other: string): boolean {
  return one === other || foldCase(one) === foldCase(other);
}

/** Splits at the last `@`; null without one or with an empty side. */
export function splitAddress(address: string): SplitAddress | null {
  const at = address.lastIndexOf('@');
  if (at < 1 || at === address.length - 1) return null;
  return { localPart: address.slice(0, at), domain: address.slice(at + 1) };
}

/** A domain name (U-labels as UTF-8 octets) or an address literal (RFC 5321 4.1.3). */
export function isDomain(domain: string): boolean {
  if (domain.startsWith('[')) return isAddressLiteral(domain);
  return domain.length <= 255 && domain.split('.').every(label => domainLabel.test(label));
}

function isAddressLiteral(domain: string): boolean {
  const [, six, four = ''] = /^\[(?:IPv6:([\da-f:.]{2,45})|([\d.]{7,15}))\]$/i.exec(domain) ?? [];
  return six === undefined ? ipv4.test(four) : isIPv6(six);
}

/** RFC 4291 2.2: eight groups, of which one run may be left out as `::`, and the last two may be an IPv4 address. */
function isIPv6(text: string): boolean {
  const [head = '', tail, ...more] = text.split('::');
  const groups = [head, tail ?? ''].flatMap(part => (part === '' ? [] : part.split(':')));
  const last = groups.at(-1) ?? '';
  const dotted = last.includes('.');
  if (more.length > 0 || (dotted && !ipv4.test(last))) return false;
  if (!(dotted ? groups.slice(0, -1) : groups).every(group => /^[\da-f]{1,4}$/i.test(group))) return false;
  const count = groups.length + (dotted ? 1 : 0);
  return tail === undefined ? count === 8 : count < 8;
}

/** Whether the address is `Dot-string@domain` (RFC 5321 4.1.2, RFC 6531 3.3): no quotes, no source route, valid UTF-8. */
export function isDotStringAddress(address: string): boolean {
  const parts = splitAddress(address);
  return parts !== null && dotString.test(parts.localPart) && isDomain(parts.domain) && isUtf8(address);
}

/**
 * Whether only one mailbox can be meant: the local part is a Dot-string of letters, digits, `-`, `_` with one optional `+tag`.
 * Postfix delivers many other spellings (quotes, `%`, `!`, routes) to the same mailbox, so they never relax a rule.
 */
export function isPlainAddress(address: string): boolean {
  const parts = splitAddress(address);
  return parts !== null && plainLocalPart.test(parts.localPart) && isDomain(parts.domain);
}

/**
 * Whether every host that the address names is one of `localDomains` (lower case): its domain, those of a source route (RFC 5321 app. C),
 * and those in a local part with `%`, `!` or a quoted `@`, to which Postfix would pass mail on.
 */
export function staysLocal(address: string, localDomains: readonly string[]): boolean {
  const [, route = '', mailbox = ''] = /^(?:@([^:]*):)?(.*)$/s.exec(foldCase(address)) ?? [];
  const { localPart, domain } = splitAddress(mailbox) ?? { localPart: '', domain: '' };
  const plain = localPart.replace(/["\\]/g, '');
  const hosts = [domain, ...plain.split(/[%@]/).slice(1), ...plain.split('!').slice(0, -1)];
  if (route !== '') hosts.push(...route.split(/,@?/));
  return hosts.every(host => localDomains.includes(host.replace(/\.$/, '')));
}

/** The mailbox name of a plain address at one of `localDomains` (lower case): lower case, without `+tag`. Else null. */
export function plainMailbox(address: string, localDomains: readonly string[]): string | null {
  if (!isPlainAddress(address)) return null;
  const { localPart, domain } = splitAddress(foldCase(address)) ?? { localPart: '', domain: '' };
  if (!localDomains.includes(domain)) return null;
  const [user] = localPart.split('+', 1);
  return `${user}@${domain}`;
}
