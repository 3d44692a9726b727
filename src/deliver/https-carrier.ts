/** Brings mail to a host by `/mxdeliv` over HTTPS, and remembers where that is of no use. */
import type { TLSSocket } from 'node:tls';
import type { Envelope } from '../message/envelope.ts';
import { trimBlanks } from '../message/text.ts';
import type { Clock } from '../system/clock.ts';
import { LruMap } from '../system/lru-map.ts';
import type { Spool } from '../system/spool.ts';
import type { Attempt } from './attempt.ts';
import { type AddressFailure, connectHost } from './connect.ts';
import { type HttpsAnswer, HttpsClient, isSuccess } from './https-client.ts';
import type { Phase } from './outcome.ts';
import type { TlsClient } from './secure.ts';
import type { Host } from './smtp-carrier.ts';

export type HttpsResult =
  | Readonly<{ delivered: true; address: string; tls: string }>
  | Readonly<{
      delivered: false;
      address: string;
      phase: Phase;
      cause: string;
      /** It answered in HTTP, whatever it said. */
      alive: boolean;
      /** This host has no HTTPS for mail: SMTP alone would be faster. */
      useless: boolean;
    }>;

type Fact = Readonly<{
  /** Milliseconds of the clock. */
  skippedUntil: number;
  /** Octets of the smallest message that was too large. */
  tooLarge: number;
}>;

const connectTime = 10_000;
const skipTime = 30 * 60_000;
const maxHosts = 10_000;
const nothingKnown: Fact = { skippedUntil: Number.NEGATIVE_INFINITY, tooLarge: Number.POSITIVE_INFINITY };

export class HttpsCarrier {
  readonly #port: number;
  readonly #tls: TlsClient;
  readonly #clock: Clock;
  readonly #client = new HttpsClient();
  readonly #facts = new LruMap<string, Fact>(maxHosts);

  constructor(port: number, tls: TlsClient, clock: Clock) {
    this.#port = port;
    this.#tls = tls;
    this.#clock = clock;
  }

  /** Whether a message of that size is worth trying at the host. */
  suits({ name }: Host, octets: number): boolean {
    const { skippedUntil, tooLarge } = this.#fact(name);
    return this.#clock() >= skippedUntil && octets < tooLarge;
  }

  /** To be told when HTTPS was useless and SMTP delivered. */
  skip({ name }: Host): void {
    this.#facts.set(name, { ...this.#fact(name), skippedUntil: this.#clock() + skipTime });
  }

  /** To be told when SMTP to the host failed to connect. */
  skipNoMore({ name }: Host): void {
    const fact = this.#facts.get(name);
    if (fact !== undefined) this.#facts.set(name, { ...fact, skippedUntil: nothingKnown.skippedUntil });
  }

  close(): void {
    this.#client.close();
  }

  async deliver(host: Host, envelope: Envelope, content: Spool, attempt: Attempt): Promise<HttpsResult> {
    let failed: { address: string; phase: Phase } = { address: '', phase: 'HTTPS' };
    const answer = await this.#client.post({
      host: host.name,
      key: `${host.name} ${host.anyCertificate}`,
      connect: async () => {
        const made = await this.#connect(host, attempt.signal);
        if (!('failures' in made)) return made;
        const [last, ...others] = made.failures.toReversed();
        failed = last ?? failed;
        if (others.length === 0) return { lost: last?.cause ?? 'no address' };
        return { lost: made.failures.map(({ address, cause }) => `${address}: ${cause}`).join(', ') };
      },
      envelope,
      content,
      mayEnd: () => attempt.sendDot(),
      mayTryAgain: () => attempt.again(),
      signal: attempt.signal,
    });
    if ('lost' in answer) {
      const { lost: cause, address } = answer;
      const useless = !attempt.signal.aborted;
      return {
        delivered: false,
        phase: failed.phase,
        address: address || failed.address,
        cause,
        alive: false,
        useless,
      };
    }
    if (answer.status === 413) this.#remember(host, content.octets);
    return verdictOn(answer);
  }

  #fact(name: string): Fact {
    return this.#facts.get(name) ?? nothingKnown;
  }

  #remember({ name }: Host, octets: number): void {
    const fact = this.#fact(name);
    this.#facts.set(name, { ...fact, tooLarge: Math.min(fact.tooLarge, octets) });
  }

  async #connect(
    { name, addresses, anyCertificate }: Host,
    signal: AbortSignal,
  ): Promise<TLSSocket | { failures: readonly AddressFailure[] }> {
    const target = { addresses, port: this.#port, time: connectTime, inAll: true, signal, clock: this.#clock };
    const made = await connectHost<TLSSocket>(target, async (socket, address, left) => {
      const secured = await this.#tls.secure(socket, { name, anyCertificate }, left, signal);
      return 'lost' in secured ? { address, phase: 'TLS', cause: secured.lost } : secured;
    });
    return 'length' in made ? { failures: made } : made;
  }
}

function verdictOn({ status, body, address, tls }: HttpsAnswer): HttpsResult {
  const text = trimBlanks(body);
  // A host that answers 200 to everything sends a page.
  if (isSuccess(status) && (text === '' || /^2\d\d/.test(text) || text.toUpperCase() === 'OK'))
    return { delivered: true, address, tls };
  const useless = status === 404 || status === 405 || status >= 500 || isSuccess(status);
  return { delivered: false, address, phase: 'HTTPS', cause: `${status} ${text}`.trim(), alive: true, useless };
}
