/** TLS over a connection that stands (RFC 8446): 1.2 or later, the certificate verified against the host's name, sessions resumed. */
import { isIP, type Socket } from 'node:net';
import { connect, type SecureContext, type TLSSocket } from 'node:tls';
import { messageOf } from '../system/errors.ts';
import { LruMap } from '../system/lru-map.ts';
import type { Lost } from './smtp-client.ts';

export type Peer = Readonly<{
  /** Name of the server, A-labels, for SNI and the certificate; an IP address is none. */
  name: string;
  /** No certificate is refused. */
  anyCertificate: boolean;
}>;

const maxSessions = 1000;

export class TlsClient {
  readonly #context: SecureContext;
  /** The latest session by name. */
  readonly #sessions = new LruMap<string, Buffer>(maxSessions);

  constructor(context: SecureContext) {
    this.#context = context;
  }

  /** Resolves within `time` milliseconds; the plain connection is gone when that fails. */
  secure(plain: Socket, { name, anyCertificate }: Peer, time: number, signal: AbortSignal): Promise<TLSSocket | Lost> {
    // What a lenient connection has seen proves nothing to a strict one.
    const isName = isIP(name) === 0;
    const key = isName && !anyCertificate ? name : null;
    const session = key === null ? undefined : this.#sessions.get(key);
    const secured = connect({
      socket: plain,
      secureContext: this.#context,
      rejectUnauthorized: !anyCertificate,
      ...(isName ? { servername: name } : {}),
      ...(session === undefined ? {} : { session }),
      ...(anyCertificate ? { checkServerIdentity: () => undefined } : {}),
    });
    if (key !== null) secured.on('session', fresh => this.#sessions.set(key, fresh));
    return new Promise(resolve => {
      const fail = (cause: string) => {
        // It may be the session that the server dislikes: the next connection begins without.
        if (key !== null && session !== undefined) this.#sessions.delete(key);
        clearTimeout(timer);
        signal.removeEventListener('abort', cancelled);
        secured.destroy();
        plain.destroy();
        resolve({ lost: cause });
      };
      const cancelled = () => fail('the delivery was cancelled');
      const timer = setTimeout(() => fail(`no TLS within ${time / 1000} s`), time);
      // Stays: an error may come at any time, `close` follows.
      secured.on('error', error => fail(reasonOf(error)));
      const closed = () => fail('the server closed the connection');
      secured.once('close', closed);
      secured.once('secureConnect', () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', cancelled);
        secured.off('close', closed);
        resolve(secured);
      });
      signal.addEventListener('abort', cancelled);
      if (signal.aborted) cancelled();
    });
  }
}

/** OpenSSL's words, without where in its source they come from. */
function reasonOf(error: Error): string {
  return 'reason' in error && typeof error.reason === 'string' ? error.reason : messageOf(error);
}
