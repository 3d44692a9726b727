/**
 * One client connection: carries octets between socket and session, gathers the message, asks the mode. A failure of any kind ends
 * this connection and nothing else.
 */
import type { Socket } from 'node:net';
import { quoted } from '../message/text.ts';
import { stackOf } from '../system/errors.ts';
import { type Reply, reply } from '../wire/reply.ts';
import { type SessionEvent, type SessionOptions, SmtpSession, startData } from '../wire/session.ts';
import { Intake, internalError } from './intake.ts';
import { Ongoing } from './ongoing.ts';
import type { Entrance, RecipientReplies } from './transaction.ts';

/** Only over LMTP a message may have several answers. */
export type SmtpServerOptions = SessionOptions & Entrance<Reply | RecipientReplies>;

/** Postfix is silent for as long as its own client is (its `smtpd_timeout` is 300 s). */
const idleTimeout = 320_000;
/** How long a client may take to hang up once we have said goodbye. */
const lingerTime = 10_000;
/** Milliseconds from the last octet until our final dot to the next hop: over SMTP Postfix waits 100 s for the answer, over LMTP 600. */
const patience = { SMTP: 90_000, LMTP: 240_000 } as const;
const maxUnread = 65_536;

const senderTaken = reply(250, '1.0', 'Ok');
const recipientTaken = reply(250, '1.5', 'Ok');
const shuttingDown = reply(421, '3.2', 'Service is shutting down');
const idleTooLong = reply(421, '4.2', 'Idle for too long');

export class SmtpConnection {
  readonly #socket: Socket;
  readonly #options: SmtpServerOptions;
  readonly #session: SmtpSession;
  readonly #ongoing: Ongoing;
  #intake: Intake<Reply | RecipientReplies> | null = null;
  /** MAIL was accepted, and the mode has not heard yet that the transaction is over. */
  #inTransaction = false;
  /** Aborted when the client goes away while the mode works on its message. */
  #working: AbortController | null = null;
  #unread = 0;
  #gone = false;
  #stopping = false;

  constructor(socket: Socket, options: SmtpServerOptions, ongoing = new Ongoing()) {
    this.#socket = socket;
    this.#options = options;
    this.#ongoing = ongoing;
    this.#session = new SmtpSession(options);
    socket.setTimeout(idleTimeout, () => this.#idle());
    socket.on('data', chunk => this.#received(chunk as Buffer)); // no encoding is set
    socket.on('drain', () => this.#advance());
    socket.on('end', () => this.#ended());
    // Postfix may reset the connection in the middle of anything; `close` follows.
    socket.on('error', error => options.log.debug(`${options.label}: connection lost: ${quoted(error.message)}`));
    socket.on('close', () => this.#ended());
    this.#flush();
  }

  /** Ends the connection as soon as its transaction, if any, is over. */
  stop(): void {
    this.#stopping = true;
    if (!this.#session.closed && !this.#session.inTransaction) this.#session.close(shuttingDown);
    this.#flush();
  }

  /** Ends the connection at once. */
  destroy(): void {
    this.#socket.destroy();
  }

  #received(chunk: Buffer): void {
    if (this.#session.closed) return;
    this.#unread += chunk.length;
    this.#session.feed(chunk);
    this.#advance();
  }

  #advance(): void {
    if (this.#gone) return;
    try {
      for (let more = true; more; ) {
        for (let event = this.#session.next(); event !== null; event = this.#session.next()) this.#answer(event);
        more = this.#session.outputFull && !this.#socket.writableNeedDrain;
        if (more) this.#flush();
      }
      if (!this.#session.inTransaction || this.#session.closed) this.#noteEnd();
      if (this.#working === null) this.#unread = 0;
      if (this.#stopping && !this.#session.inTransaction && !this.#session.closed) this.#session.close(shuttingDown);
    } catch (error) {
      this.#crashed(error);
    }
    this.#flush();
  }

  #answer(event: SessionEvent): void {
    const { reception } = this.#options;
    switch (event.kind) {
      case 'sender':
        this.#noteEnd();
        this.#session.answer(reception.sender(event.path) ?? senderTaken);
        this.#inTransaction = this.#session.inTransaction;
        break;
      case 'recipient':
        this.#session.answer(reception.recipient(event.path) ?? recipientTaken);
        break;
      case 'data':
        this.#intake = new Intake(event.envelope, this.#options);
        this.#session.answer(startData);
        break;
      case 'octets':
        this.#intake?.take(event.wire, event.text, event.fault);
        break;
      case 'end':
        this.#ongoing.add(this.#judge(event).catch(error => this.#crashed(error)));
    }
  }

  async #judge(end: SessionEvent & { kind: 'end' }): Promise<void> {
    const intake = this.#intake;
    if (intake === null) throw new Error('end of a message that never began');
    const working = new AbortController();
    this.#working = working;
    const { fault, wireOctets } = end;
    try {
      const answer = await intake.end({
        fault,
        wireOctets,
        patience: patience[this.#options.protocol],
        gone: working.signal,
      });
      const answers = 'code' in answer ? Array.from({ length: this.#session.repliesOwed }, () => answer) : answer;
      for (const each of answers) {
        this.#session.answer(await each);
        this.#flush();
      }
    } finally {
      this.#working = null;
      this.#dropMessage();
      if (this.#gone) this.#noteEnd();
    }
    this.#advance();
  }

  #noteEnd(): void {
    if (!this.#inTransaction) return;
    this.#inTransaction = false;
    this.#options.reception.end?.();
  }

  #dropMessage(): void {
    this.#intake?.discard();
    this.#intake = null;
  }

  /** The client has hung up or half-closed: Postfix then wants no answer, so what is not delivered yet shall not be. */
  #ended(): void {
    this.#gone = true;
    this.#working?.abort();
    if (this.#working === null) {
      this.#dropMessage();
      this.#noteEnd();
    }
    // It may never read what is still to be written.
    this.#socket.setTimeout(lingerTime);
    this.#socket.end();
    if (this.#session.closed) this.#socket.destroySoon();
  }

  #idle(): void {
    if (this.#working !== null) return;
    if (this.#session.closed || this.#gone || this.#intake !== null) this.#socket.destroy();
    else {
      this.#session.close(idleTooLong);
      this.#flush();
    }
  }

  #crashed(error: unknown): void {
    const { log, label } = this.#options;
    log.error(`${label}: unexpected failure in a connection: ${quoted(stackOf(error), 2000)}`);
    if (!this.#session.closed) this.#session.close(internalError);
    this.#dropMessage();
    this.#flush();
  }

  #flush(): void {
    const output = this.#session.takeOutput();
    const socket = this.#socket;
    if (this.#session.closed) this.#hangUp(output);
    else if (socket.writable && output !== '') socket.write(output, 'latin1');
    this.#flow();
  }

  #hangUp(lastWords: string): void {
    const socket = this.#socket;
    if (!socket.writable) return;
    socket.setTimeout(lingerTime);
    if (this.#session.quit || this.#stopping) {
      socket.write(lastWords, 'latin1', () => socket.destroy());
      return;
    }
    // With unread octets destroying it would be a reset, and the client could lose our last words.
    socket.end(lastWords, 'latin1');
    const timer = setTimeout(() => socket.destroy(), lingerTime);
    socket.once('close', () => clearTimeout(timer));
  }

  /** Reads on unless there is more to do first than memory should hold. */
  #flow(): void {
    const intake = this.#intake;
    const waits = this.#socket.writableNeedDrain || (this.#working !== null && this.#unread > maxUnread);
    if (intake?.full) {
      this.#socket.pause();
      intake.settled().then(() => this.#flow());
    } else if (waits) this.#socket.pause();
    else if (this.#socket.isPaused()) this.#socket.resume();
  }
}
