/**
 * The certificate authorities that this process trusts: the system's store (`SSL_CERT_FILE` and `SSL_CERT_DIR`, which stand for OpenSSL's
 * file and directory, or `/etc/ssl/certs`), Node's own list where that store is empty, and those of `NODE_EXTRA_CA_CERTS` beside either.
 * Node reads these variables by itself, once; a directory or an extra file that cannot be read is a line of Node's on stderr.
 */
import { createSecureContext, getCACertificates, type SecureContext, setDefaultCACertificates } from 'node:tls';

export type Authorities = Readonly<{
  /** Where they come from, the extra ones apart. */
  source: 'system' | 'node';
  /** How many there are. */
  count: number;
  /** TLS 1.2 or later; for all connections, because each context of its own would hold the authorities again. */
  context: SecureContext;
}>;

/** To be called once, at start: takes 30 ms, and from then on all TLS of the process trusts these. */
export function trustAuthorities(): Authorities {
  const system = getCACertificates('system');
  const source = system.length > 0 ? 'system' : 'node';
  const main = source === 'system' ? system : getCACertificates('bundled');
  // Debian's directory has every certificate under three names.
  const certificates = [...new Set([...main, ...getCACertificates('extra')])];
  setDefaultCACertificates(certificates);
  return { source, count: certificates.length, context: createSecureContext({ minVersion: 'TLSv1.2' }) };
}
