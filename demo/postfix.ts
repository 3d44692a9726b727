/** Stands in for Postfix behind the filter: takes every message, on a free loopback port, and remembers it. */
import { EventEmitter, once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { SMTPServer } from 'smtp-server';

/** A message that the filter let pass. */
export type Arrival = Readonly<{ from: string; to: readonly string[]; message: Buffer }>;

export class Postfix extends EventEmitter<{ arrival: [Arrival] }> implements AsyncDisposable {
  readonly #server: SMTPServer;
  #arrivals: Arrival[] = [];

  private constructor(domain: string) {
    super();
    this.#server = new SMTPServer({
      name: domain,
      banner: 'stand-in for Postfix',
      disabledCommands: ['AUTH', 'STARTTLS'],
      hideDSN: false,
      hideENHANCEDSTATUSCODES: false,
      disableReverseLookup: true,
      closeTimeout: 1_000,
      logger: false,
      onData: (stream, { envelope: { mailFrom, rcptTo } }, answer) => {
        buffer(stream).then(message => {
          const from = mailFrom === false ? '' : mailFrom.address;
          this.#arrive({ from, to: rcptTo.map(({ address }) => address), message });
          answer(null, 'Ok: queued');
        }, answer);
      },
    });
    // Connections that break are the filter's to notice.
    this.#server.on('error', () => undefined);
  }

  static async listen(domain: string): Promise<Postfix> {
    const postfix = new Postfix(domain);
    await once(postfix.#server.listen(0, '127.0.0.1'), 'listening');
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
