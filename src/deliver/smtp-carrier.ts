/** Brings mail to a host by SMTP with STARTTLS, over a kept connection where there is one. */
import type { Socket } from 'node:net';
import type { Envelope } from '../message/envelope.ts';
import type { Clock } from '../system/clock.ts';
import type { Spool } from '../system/spool.ts';
import { describeReply, type Reply } from '../wire/reply.ts';
import type { Attempt } from './attempt.ts';
import { type AddressFailure, connectHost } from './connect.ts';
import { type Connection, IdleConnections } from './idle.ts';
import type { Phase } from './outcome.ts';
import type { TlsClient } from './secure.ts';
import { type Lost, SmtpClient } from './smtp-client.ts';
import { type RecipientResult, transact } from './smtp-transaction.ts';

export type Host = Readonly<{
  /** A name in A-labels or an IP address. */
  name: string;
  addresses: readonly string[];
  anyCertificate: boolean;
  plainAllowed: boolean;
}>;

export type SmtpResult =
  | Readonly<{ results: readonly RecipientResult[]; address: string; tls: string }>
  | Readonly<{ failures: readonly AddressFailure[] }>;

export type SmtpCarrierOptions = Readonly<{
  port: number;
  /** Our name in EHLO. */
  name: string;
  tls: TlsClient;
  clock: Clock;
}>;

const connectTime = 30_000;
const replyTimes = { each: 60_000, last: 300_000 } as const;

export class SmtpCarrier {
  readonly #options: SmtpCarrierOptions;
  readonly #idle = new IdleConnections();

  constructor(options: SmtpCarrierOptions) {
    this.#options = options;
  }

  /** Connections that are kept. */
  get idle(): number {
    return this.#idle.size;
  }

  close(): void {
    this.#idle.close();
  }

  /** `alive` is called when the host has said something. */
  async deliver(
    host: Host,
    envelope: Envelope,
    content: Spool,
    attempt: Attempt,
    alive: () => void,
  ): Promise<SmtpResult> {
    const key = `${host.name} ${host.anyCertificate} ${host.plainAllowed}`;
    const kept = this.#idle.take(key);
    if (kept !== null) {
      const results = await this.#transact(kept, envelope, content, attempt);
      const stale = !attempt.dataBegun && results.some(wentStale);
      if (!stale || attempt.signal.aborted) return this.#end(key, kept, results, alive);
      kept.client.abort('stale');
    }
    const made = await this.#connect(host, attempt, alive);
    if (!('client' in made)) return { failures: made };
    return this.#end(key, made, await this.#transact(made, envelope, content, attempt), alive);
  }

  #transact(
    { client }: Connection,
    envelope: Envelope,
    content: Spool,
    attempt: Attempt,
  ): Promise<readonly RecipientResult[]> {
    attempt.use(client);
    return transact(client, envelope, content, {
      allOrNothing: false,
      release: false,
      dataBegins: () => {
        attempt.dataBegun = true;
      },
      mayEnd: () => attempt.sendDot(),
    });
  }

  /** Keeps the connection when the server has taken the message: after refusals it may be in any state. */
  #end(key: string, connection: Connection, results: readonly RecipientResult[], alive: () => void): SmtpResult {
    if (results.some(result => 'reply' in result)) alive();
    if (results.some(result => 'reply' in result && result.phase === 'end of data')) this.#idle.keep(key, connection);
    else connection.client.quit();
    return { results, address: connection.address, tls: connection.tls };
  }

  #connect(host: Host, attempt: Attempt, alive: () => void): Promise<Connection | readonly AddressFailure[]> {
    const { port, clock } = this.#options;
    const { addresses } = host;
    return connectHost<Connection>(
      { addresses, port, time: connectTime, inAll: false, signal: attempt.signal, clock },
      (socket, address, left) => this.#introduce(socket, address, left, host, attempt, alive),
    );
  }

  /** From the greeting to a connection that is ready for mail. */
  async #introduce(
    socket: Socket,
    address: string,
    left: number,
    { name, anyCertificate, plainAllowed }: Host,
    attempt: Attempt,
    alive: () => void,
  ): Promise<Connection | AddressFailure> {
    const client = new SmtpClient(socket, replyTimes);
    attempt.use(client);
    const failed = (phase: Phase, answer: Reply | Lost): AddressFailure => {
      if ('code' in answer) client.quit();
      const cause = 'code' in answer ? describeReply(answer) : client.abort(answer.lost).lost;
      return { address, phase, cause };
    };
    const greeting = await client.greeting();
    if (client.spoke) alive();
    if (greeting !== null) return failed('greeting', greeting);
    const hello = await client.hello(this.#options.name);
    if (hello !== null) return failed('EHLO', hello);
    if (!client.extensions.has('STARTTLS')) {
      if (plainAllowed) return { client, address, tls: 'no TLS' };
      client.quit();
      return { address, phase: 'STARTTLS', cause: 'the server does not offer STARTTLS' };
    }
    let tls = '';
    let inTls = false;
    const refusal = await client.startTls(async plain => {
      inTls = true;
      const secured = await this.#options.tls.secure(plain, { name, anyCertificate }, left, attempt.signal);
      if (!('lost' in secured)) tls = secured.getProtocol() ?? '';
      return secured;
    });
    if (refusal !== null) return failed(inTls ? 'TLS' : 'STARTTLS', refusal);
    const again = await client.hello(this.#options.name);
    if (again !== null) return failed('EHLO', again);
    return { client, address, tls };
  }
}

function wentStale(result: RecipientResult): boolean {
  return 'lost' in result || result.reply.code === 421;
}
