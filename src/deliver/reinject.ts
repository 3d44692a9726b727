/**
 * Gives a message back to Postfix, all or nothing: Postfix's answer is the answer, and when it refuses a single recipient nobody gets
 * the message, because the client hears one answer for all. Waiting, connecting and sending share one deadline; when it passes or the
 * client goes before our final dot, nothing is delivered.
 */
import type { Envelope } from '../message/envelope.ts';
import type { Clock } from '../system/clock.ts';
import { dial } from '../system/dial.ts';
import type { Spool } from '../system/spool.ts';
import { mailCommand, needsSmtpUtf8, rcptCommand, xforwardCommands } from '../wire/client-commands.ts';
import { describeReply, isPositive, type Reply, relayed, reply } from '../wire/reply.ts';
import { ConnectionPool, type Lease } from './pool.ts';
import { type Lost, SmtpClient } from './smtp-client.ts';

export type ReinjectOptions = Readonly<{
  /** IP address of Postfix. */
  address: string;
  port: number;
  /** Our name in EHLO. */
  name: string;
  clock: Clock;
}>;

/** `deadline` in milliseconds of the clock: no final dot goes out later. */
export type Mail = Readonly<{ envelope: Envelope; content: Spool; deadline: number; gone: AbortSignal }>;

/** The answer for the client and, where mail was not taken, the reason for the log. */
export type ReinjectResult = Readonly<{ answer: Reply; failure: string | null }>;

/** Postfix's reinjection service has 100 processes. */
const maxConnections = 90;
const idleTime = 5000;
/** Past the deadline, how long Postfix's answer to the final dot is worth waiting for: our client hangs up then. */
const answerGrace = 8000;

const unavailable = reply(451, '3.2', 'Temporary failure, try again later');
const noSmtpUtf8 = reply(553, '6.7', 'SMTPUTF8 is needed and the next hop does not offer it');

export class Reinjector {
  readonly #options: ReinjectOptions;
  readonly #pool: ConnectionPool;

  constructor(options: ReinjectOptions) {
    this.#options = options;
    const connect = () => new SmtpClient(dial(options.address, options.port));
    this.#pool = new ConnectionPool({ connect, limit: maxConnections, idleTime });
  }

  /** Delivers the mail, whose memory is given back on the way. */
  async deliver(mail: Mail): Promise<ReinjectResult> {
    const attempt = new Attempt(mail, this.#options.clock);
    try {
      const lease = await this.#pool.acquire(attempt.signal);
      if (lease === null) return attempt.failed('no connection to Postfix was free');
      const result = await this.#transactOver(lease, mail, attempt);
      if ('lost' in result) return attempt.failed(result.lost);
      if (isPositive(result)) return { answer: result, failure: null };
      return { answer: relayed(result), failure: `Postfix said ${describeReply(result)}` };
    } finally {
      attempt.end();
    }
  }

  close(): void {
    this.#pool.close();
  }

  /** Carries the transaction out, over a fresh connection when the leased one went stale, and gives the lease back. */
  async #transactOver(lease: Lease, mail: Mail, attempt: Attempt): Promise<Reply | Lost> {
    // After a refusal the connection may be in any state, and Postfix counts errors in it.
    let keep = false;
    try {
      attempt.use(lease.client);
      let result = await this.#transact(lease, mail, attempt);
      if (lease.reused && wentStale(result) && !attempt.dataBegun && !attempt.signal.aborted) {
        this.#pool.renew(lease);
        attempt.use(lease.client);
        result = await this.#transact(lease, mail, attempt);
      }
      keep = !('lost' in result) && isPositive(result);
      return result;
    } finally {
      this.#pool.release(lease, keep);
    }
  }

  async #transact({ client, reused }: Lease, { envelope, content }: Mail, attempt: Attempt): Promise<Reply | Lost> {
    if (!reused) {
      const refusal = await client.greet(this.#options.name);
      // It says nothing of the message, so it must not bounce it.
      if (refusal !== null) return 'lost' in refusal ? refusal : { lost: `Postfix said ${describeReply(refusal)}` };
    }
    const { extensions } = client;
    if (needsSmtpUtf8(envelope.from, envelope.recipients) && !extensions.has('SMTPUTF8')) return noSmtpUtf8;
    const forwarded = xforwardCommands(envelope.xforward, extensions);
    const commands = [
      ...forwarded,
      mailCommand(envelope.from, extensions),
      ...envelope.recipients.map(recipient => rcptCommand(recipient, extensions)),
      'DATA\r\n',
    ];
    // A refused XFORWARD costs a log line its client, not the user the mail.
    const counts = (index: number) => index >= forwarded.length;
    const { replies, lost } = await client.exchange(commands, ({ code }, index) => counts(index) && code >= 300);
    const refusal = replies.find(({ code }, index) => counts(index) && code >= 400);
    if (refusal !== undefined) {
      // DATA may have been accepted all the same: without hanging up the next octets would be a message.
      client.abort('the transaction was refused');
      return refusal;
    }
    if (lost !== null) return { lost };
    const last = commands.length - 1;
    const strange = replies.find(
      (answer, index) => counts(index) && (index === last ? answer.code !== 354 : !isPositive(answer)),
    );
    if (strange !== undefined) return client.abort(`unexpected answer: ${describeReply(strange)}`);
    attempt.dataBegun = true;
    const early = await client.sendMessage(content, { release: true, mayEnd: () => attempt.sendDot() });
    if (early !== null) return early;
    const answer = await client.reply();
    if ('lost' in answer || isPositive(answer) || answer.code >= 400) return answer;
    return client.abort(`unexpected answer: ${describeReply(answer)}`);
  }
}

/** What a server does that closed an idle connection. */
function wentStale(result: Reply | Lost): boolean {
  return 'lost' in result || result.code === 421;
}

/** One delivery's deadline and cancellation. */
class Attempt {
  /** Octets of the message have gone out, and with them the memory they were in. */
  dataBegun = false;
  dotSent = false;
  readonly #controller = new AbortController();
  readonly #mail: Mail;
  readonly #clock: Clock;
  #client: SmtpClient | null = null;
  #timer: NodeJS.Timeout;
  #reason = '';

  constructor(mail: Mail, clock: Clock) {
    this.#mail = mail;
    this.#clock = clock;
    const left = mail.deadline - clock();
    this.#timer = setTimeout(() => this.#cancel('the deadline passed'), Math.max(left, 0));
    if (left <= 0) this.#cancel('the deadline passed');
    mail.gone.addEventListener('abort', this.#gone);
    if (mail.gone.aborted) this.#gone();
  }

  /** Aborted when the mail must not be delivered any more. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  use(client: SmtpClient): void {
    this.#client = client;
    if (this.signal.aborted) client.abort(this.#reason);
  }

  /** Whether the final dot may go out; from then on only the answer can be given up, not the delivery. */
  sendDot(): boolean {
    const left = this.#mail.deadline - this.#clock();
    if (left <= 0 || this.signal.aborted) return false;
    this.dotSent = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#client?.abort('no answer to the final dot'), left + answerGrace);
    return true;
  }

  failed(cause: string): ReinjectResult {
    const reason = this.#reason === '' ? cause : this.#reason;
    return { answer: unavailable, failure: `${reason}${this.dotSent ? ' after the final dot' : ''}` };
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#mail.gone.removeEventListener('abort', this.#gone);
  }

  readonly #gone = () => this.#cancel('the client has gone');

  #cancel(reason: string): void {
    if (this.dotSent || this.#reason !== '') return;
    this.#reason = reason;
    this.#controller.abort();
    this.#client?.abort(reason);
  }
}
