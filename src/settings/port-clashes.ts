import { isIP } from 'node:net';
import type { Settings } from './settings.ts';

/** Two keys that give one port of one host to two servers; `other` is one of our listeners. */
export type PortClash = Readonly<{ key: string; other: string }>;

/**
 * Ports bound twice: those we listen on with each other, and with Postfix's reinject ports where Postfix is on our own
 * address (mail would come back to us). Keys that are not `isGood` have no value of their own and are left out.
 */
export function portClashes(settings: Settings, isGood: (key: string) => boolean): readonly PortClash[] {
  const listeners = [
    { key: 'filtermail_smtp_port', port: settings.smtpPort },
    { key: 'filtermail_smtp_port_incoming', port: settings.smtpPortIncoming },
    { key: 'filtermail_http_port_incoming', port: settings.httpPortIncoming },
    { key: 'filtermail_lmtp_port_transport', port: settings.lmtpPortTransport },
  ].filter(({ key }) => isGood(key));
  const reinject = [
    { key: 'postfix_reinject_port', port: settings.reinjectPort },
    { key: 'postfix_reinject_port_incoming', port: settings.reinjectPortIncoming },
  ].filter(({ key }) => isGood(key));

  const hostsAreGood = isGood('filtermail_host') && isGood('postfix_host');
  const postfixIsHere = hostsAreGood && isSameHost(settings.host, settings.postfixHost);
  return (postfixIsHere ? [...listeners, ...reinject] : listeners).flatMap(({ key, port }, index) => {
    const other = listeners.slice(0, index).find(earlier => earlier.port === port);
    return other === undefined ? [] : [{ key, other: other.key }];
  });
}

/** Whether a connection to `target` (name or address) surely reaches what listens on the address `host`. */
function isSameHost(host: string, target: string): boolean {
  if (target.toLowerCase() === host.toLowerCase()) return true;
  const isLocalName = /^localhost$/i.test(target);
  const listensEverywhere = host === '0.0.0.0' || host === '::';
  return (isLocalName && isLoopback(host)) || (listensEverywhere && (isLocalName || isLoopback(target)));
}

const isLoopback = (host: string): boolean => isIP(host) !== 0 && /^(127\.|::1$)/.test(host);
