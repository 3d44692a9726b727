/** Stands in for a Postfix: behind the filter, or as the mail server of somebody else. Remembers every message. */
import { EventEmitter, once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { SMTPServer } from 'smtp-server';
import type { Certificate } from '../test/peers/authority.ts';

/** A message that arrived; `at`: the name of the server. */
export type Arrival = Readonly<{ at: string; from: string; to: readonly string[]; message: Buffer }>;

export type PostfixOptions = Readonly<{
  name: string;
  /** Where it listens, on a free port. */
  address: string;
  /** With one it takes mail over TLS only (STARTTLS). */
  certificate?: Certificate;
  /** Whom it does not know. */
  unknown?: readonly string[];
}>;

export class Postfix extends EventEmitter<{ arrival: [Arrival] }> implements AsyncDisposable {
  readonly #server: SMTPServer;
  #arrivals: Arrival[] = [];

  private constructor({ name, certificate, unknown = [] }: PostfixOptions) {
    super();
    this.#server = new SMTPServer({
      name,
      ...(certificate && { key: certificate.key, cert: certificate.cert }),
      banner: 'stand-in for Postfix',
      disabledCommands: certificate ? ['AUTH'] : ['AUTH', 'STARTTLS'],
      hideDSN: false,
      hideENHANCEDSTATUSCODES: false,
      disableReverseLookup: true,
      closeTimeout: 1_000,
      logger: false,
      onMailFrom: (_, { secure }, answer) => {
        answer(certificate && !secure ? refusal(530, 'Must issue a STARTTLS command first') : null);
      },
      onRcptTo: ({ address }, _, answer) => {
        answer(unknown.includes(address) ? refusal(550, 'No such user here') : null);
      },
      onData: (stream, { envelope: { mailFrom, rcptTo } }, answer) => {
        buffer(stream).then(message => {
          const from = mailFrom === false ? '' : mailFrom.address;
          this.#arrive({ at: name, from, to: rcptTo.map(({ address }) => address), message });
          answer(null, 'Ok: queued');
        }, answer);
      },
    });
    // Connections that break are the filter's to notice.
    this.#server.on('error', () => undefined);
  }

  static async listen(options: PostfixOptions): Promise<Postfix> {
    const postfix = new Postfix(options);
    await once(postfix.#server.listen(0, options.address), 'listening');
    return postfix;
  }

  get port(): number {
    return (this.#server.server.address() as AddressInfo).port;
  }

  /** What arrived since the last call. */
  take(): readonly Arrival[] {
    const taken = this.#arrivals;
    this.#arrivals = [];
    return taken;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>(resolve => this.#server.close(resolve));
  }

  #arrive(arrival: Arrival): void {
    this.#arrivals.push(arrival);
    this.emit('arrival', arrival);
  }
}

function refusal(responseCode: number, text: string): Error {
  return Object.assign(new Error(text), { responseCode });
}
