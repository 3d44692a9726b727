/**
 * Gives a message back to Postfix, all or nothing: Postfix's answer is the answer, and when it refuses a single recipient nobody gets
 * the message, because the client hears one answer for all. Waiting, connecting and sending share one deadline; when it passes or the
 * client goes before our final dot, nothing is delivered.
 */
import type { Envelope } from '../message/envelope.ts';
import type { Clock } from '../system/clock.ts';
import { dial } from '../system/dial.ts';
import type { Spool } from '../system/spool.ts';
import { describeReply, isPositive, type Reply, relayed, reply } from '../wire/reply.ts';
import { Attempt } from './attempt.ts';
import { ConnectionPool, type Lease } from './pool.ts';
import { type Lost, SmtpClient } from './smtp-client.ts';
import { transact } from './smtp-transaction.ts';

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
/** Our client hangs up then. */
const answerGrace = 8000;

const unavailable = reply(451, '3.2', 'Temporary failure, try again later');

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
    const attempt = new Attempt({ ...mail, answerGrace, clock: this.#options.clock });
    const failed = (cause: string) => ({ answer: unavailable, failure: attempt.whyFailed(cause) });
    try {
      const lease = await this.#pool.acquire(attempt.signal);
      if (lease === null) return failed('no connection to Postfix was free');
      const result = await this.#transactOver(lease, mail, attempt);
      if ('lost' in result) return failed(result.lost);
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
    const results = await transact(client, envelope, content, {
      allOrNothing: true,
      release: true,
      dataBegins: () => {
        attempt.dataBegun = true;
      },
      mayEnd: () => attempt.sendDot(),
    });
    const answers = results.map(result => ('reply' in result ? result.reply : result));
    return answers.find(answer => 'code' in answer && !isPositive(answer)) ?? answers[0] ?? { lost: 'no recipient' };
  }
}

/** What a server does that closed an idle connection. */
function wentStale(result: Reply | Lost): boolean {
  return 'lost' in result || result.code === 421;
}
