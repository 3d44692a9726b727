/** One HTTP request: its body is a message in SMTP's wire form without the final dot line, its answer the SMTP reply. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { quoted } from '../message/text.ts';
import { stackOf } from '../system/errors.ts';
import { DataReader } from '../wire/data-reader.ts';
import { httpStatus, readEnvelope } from '../wire/mxdeliv.ts';
import { describeReply, formatReply, type Reply, reply } from '../wire/reply.ts';
import { Intake, internalError, type MessageFault } from './intake.ts';
import type { Ongoing } from './ongoing.ts';
import type { Entrance } from './transaction.ts';

export type HttpServerOptions = Entrance &
  Readonly<{
    /** Octets after dot-unescaping. */
    maxMessageSize: number;
  }>;

/** Without an octet of the body. */
const idleTimeout = 60_000;
/** From the last octet until our final dot to the next hop: clients wait 60 s for the answer. */
const patience = 50_000;
/** How long the rest of a body may take whose answer is out. */
const lingerTime = 10_000;

const onlyPost = reply(502, '5.1', 'Method not allowed');

export class HttpDelivery {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #options: HttpServerOptions;
  readonly #ongoing: Ongoing;
  readonly #reader: DataReader;
  /** Aborted when the client goes away while the mode works on its message. */
  readonly #gone = new AbortController();
  #intake: Intake | null = null;
  #hasFinalDot = false;
  #ended = false;

  constructor(request: IncomingMessage, response: ServerResponse, options: HttpServerOptions, ongoing: Ongoing) {
    this.#request = request;
    this.#response = response;
    this.#options = options;
    this.#reader = new DataReader(options.maxMessageSize);
    this.#ongoing = ongoing;
  }

  /** Reads the header and, unless that decides, the body. `asksFirst`: the client wants to hear 100 before it sends a body. */
  begin(asksFirst: boolean): void {
    try {
      this.#begin(asksFirst);
    } catch (error) {
      this.#crashed(error);
    }
  }

  #begin(asksFirst: boolean): void {
    const { label, log, maxMessageSize } = this.#options;
    const { method, headers, rawHeaders, socket } = this.#request;
    const response = this.#response;
    // After an early answer nobody could tell whether what comes is the body or the next request.
    if (asksFirst) response.shouldKeepAlive = false;
    if (method !== 'POST') {
      response.setHeader('Allow', 'POST');
      this.#answer(onlyPost, 405);
      return;
    }
    const read = this.#readEnvelope(rawHeaders);
    if ('refusal' in read) {
      log.warn(`${label}: refused an HTTP delivery: ${describeReply(read.refusal)}`);
      this.#answer(read.refusal);
      return;
    }
    this.#intake = new Intake(read.envelope, this.#options);
    response.on('close', () => this.#closed());
    if (Number(headers['content-length'] ?? 0) > maxMessageSize) {
      this.#end('oversize');
      return;
    }
    this.#request.on('data', (chunk: Buffer) => this.#received(chunk));
    this.#request.on('end', () => this.#end(this.#fault() ?? (this.#reader.atLineStart ? null : 'unterminated')));
    socket.setTimeout(idleTimeout);
    if (asksFirst) response.writeContinue();
  }

  #readEnvelope(rawHeaders: readonly string[]): ReturnType<typeof readEnvelope> {
    const { reception } = this.#options;
    const read = readEnvelope(rawHeaders);
    if ('refusal' in read) return read;
    const { from, recipients } = read.envelope;
    let refusal = reception.sender(from);
    for (const recipient of recipients) refusal ??= reception.recipient(recipient);
    return refusal === null ? read : { refusal };
  }

  #received(chunk: Buffer): void {
    const intake = this.#intake;
    if (intake === null || this.#ended) return;
    try {
      const { text, end } = this.#reader.feed(chunk);
      if (end >= 0) this.#hasFinalDot = true;
      const fault = this.#fault();
      intake.take(chunk, text, fault);
      // A chunked body need not have an end.
      if (this.#reader.tooLong) this.#end(fault);
      else this.#flow(intake);
    } catch (error) {
      this.#crashed(error);
    }
  }

  #fault(): MessageFault | null {
    return this.#reader.fault ?? (this.#hasFinalDot ? 'unterminated' : null);
  }

  #flow(intake: Intake): void {
    if (intake.full) {
      this.#request.pause();
      intake.settled().then(() => this.#flow(intake));
    } else if (this.#request.isPaused()) this.#request.resume();
  }

  #end(fault: MessageFault | null): void {
    if (this.#intake === null || this.#ended) return;
    this.#ended = true;
    this.#request.socket.setTimeout(0);
    this.#ongoing.add(this.#judge(this.#intake, fault).catch(error => this.#crashed(error)));
  }

  async #judge(intake: Intake, fault: MessageFault | null): Promise<void> {
    try {
      this.#answer(await intake.end({ fault, wireOctets: this.#reader.wireOctets, patience, gone: this.#gone.signal }));
    } finally {
      intake.discard();
    }
  }

  /** The answer is out, or the client has gone. */
  #closed(): void {
    if (!this.#ended) this.#intake?.discard();
    this.#ended = true;
    this.#gone.abort();
  }

  #answer(answer: Reply, status = httpStatus(answer)): void {
    const body = Buffer.from(formatReply(answer).slice(0, -2), 'latin1');
    this.#response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': body.length });
    if (this.#request.complete) this.#response.end(body);
    else this.#answerEarly(body);
  }

  /**
   * The client has the whole answer, but the response ends with the request's body: then a connection that is not kept would be closed,
   * and with octets unread that is a reset, which can take the answer from the client.
   */
  #answerEarly(body: Buffer): void {
    const request = this.#request;
    this.#response.write(body);
    const timer = setTimeout(() => request.socket.destroy(), lingerTime);
    this.#response.once('close', () => clearTimeout(timer));
    request.once('end', () => this.#response.end());
    request.resume();
  }

  #crashed(error: unknown): void {
    const { log, label } = this.#options;
    log.error(`${label}: unexpected failure in an HTTP request: ${quoted(stackOf(error), 2000)}`);
    this.#ended = true;
    this.#intake?.discard();
    if (this.#response.headersSent) this.#request.socket.destroy();
    else this.#answer(internalError);
  }
}
