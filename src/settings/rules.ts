/** What one value of `chatmail.ini` may be. Each rule is pure: it reads a text into its value, or says what is allowed. */
import { isIP, isIPv4, isIPv6 } from 'node:net';

/** `read` gives `undefined` for a text that is not `allowed`; the latter completes the sentence `"x" is not ...`. */
export type Rule<T> = Readonly<{ allowed: string; read: (text: string) => T | undefined }>;

export type DnsServer = Readonly<{ address: string; port: number }>;

/** Plain decimal digits, `least` to `most` inclusive. */
export const wholeNumber = (least: number, most: number): Rule<number> => ({
  allowed: `a whole number from ${least} to ${most}`,
  read: text => (/^[0-9]+$/.test(text) && Number(text) >= least && Number(text) <= most ? Number(text) : undefined),
});

export const port: Rule<number> = { ...wholeNumber(1, 65535), allowed: 'a port, 1 to 65535' };

export const absolutePath: Rule<string> = {
  allowed: 'an absolute path without control characters',
  read: text => (/^\/[^\x00-\x1f\x7f]*$/.test(text) ? text : undefined),
};

/** IPv4 or IPv6; no zone (`%eth0`), because it has no place in the address literal of EHLO. */
export const ipAddress: Rule<string> = {
  allowed: 'an IP address',
  read: text => (isAddress(text) ? text : undefined),
};

export const hostNameOrAddress: Rule<string> = {
  allowed: 'a host name or an IP address',
  // Container names often have an underscore in the middle.
  read: text => (isAddress(text) || isName(text, /^[A-Za-z0-9_]+(-+[A-Za-z0-9_]+)*$/) ? text : undefined),
};

/** Kept as written: the default directory of the mailboxes has the domain as the other programs read it. */
export const mailDomain: Rule<string> = {
  allowed: 'a domain name (xn-- form for an international one) or an IPv4 address without brackets',
  read: text => (isIPv4(text) || isDomain(text) ? text : undefined),
};

/** ASCII lower case. */
export const mailAddress: Rule<string> = {
  allowed: 'user@domain',
  read: text => (isMailAddress(text) ? text.toLowerCase() : undefined),
};

/** ASCII lower case. `@domain` stands for all addresses of that domain. */
export const mailAddressOrDomain: Rule<string> = {
  allowed: 'user@domain or @domain',
  read: text =>
    isMailAddress(text) || (text.startsWith('@') && isAddressDomain(text.slice(1))) ? text.toLowerCase() : undefined,
};

export const dnsServer: Rule<DnsServer> = {
  allowed: 'an IP address, ip:port or [ip6]:port',
  read: text => {
    if (isAddress(text)) return Object.freeze({ address: text, port: 53 });
    const [, six = '', four = '', digits = '53'] =
      /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]+))?$/.exec(text) ?? [];
    const address = isIPv6(six) ? six : isIPv4(four) ? four : undefined;
    const number = port.read(digits);
    return address === undefined || number === undefined ? undefined : Object.freeze({ address, port: number });
  },
};

const isAddress = (text: string): boolean => isIP(text) !== 0 && !text.includes('%');

/** RFC 1123 2.1: at most 253 octets, labels of 1 to 63. A last label of digits is an IPv4 address with a mistake in it. */
function isName(text: string, label: RegExp): boolean {
  const labels = text.split('.');
  return (
    text.length <= 253 &&
    labels.every(one => one.length <= 63 && label.test(one)) &&
    !/^[0-9]+$/.test(labels.at(-1) ?? '')
  );
}

/** A leading `_` marks the domains of relays that have no certificate of a public authority. */
const isDomain = (text: string): boolean => isName(text, /^_?[A-Za-z0-9]+(-+[A-Za-z0-9]+)*$/);

/** RFC 5321 4.1.2: Dot-string `@` domain or address literal, in ASCII. */
function isMailAddress(text: string): boolean {
  const [, domain] = /^[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*@(.+)$/.exec(text) ?? [];
  return domain !== undefined && isAddressDomain(domain);
}

function isAddressDomain(text: string): boolean {
  const [, four = '', six = ''] = /^\[(?:([0-9.]+)|IPv6:([0-9A-Fa-f.:]+))\]$/i.exec(text) ?? [];
  return isDomain(text) || isIPv4(four) || isIPv6(six);
}
