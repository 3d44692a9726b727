/**
 * The client's side of `/mxdeliv`: one POST a message over connections that are kept. It tells what the server answered, or how far it came;
 * nothing throws.
 */
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { Envelope } from '../message/envelope.ts';
import { messageOf } from '../system/errors.ts';
import type { Spool } from '../system/spool.ts';
import { recipientHeader, senderHeader } from '../wire/mxdeliv.ts';
import type { Lost } from './smtp-client.ts';

export type HttpsAnswer = Readonly<{
  status: number;
  /** The first octets of the body, as octet string. */
  body: string;
  /** IP address of the server and version of TLS, for the log. */
  address: string;
  tls: string;
}>;

/** `address`: where the connection led that was lost, empty when there was none. */
export type HttpsLost = Lost & Readonly<{ address: string }>;

export type HttpsPost = Readonly<{
  /** Name of the host, or its address literal without brackets. */
  host: string;
  /** Makes a connection when none is kept; it ends in time. */
  connect: () => Promise<TLSSocket | Lost>;
  /** Connections with the same key may serve each other's messages. */
  key: string;
  envelope: Envelope;
  content: Spool;
  /** Asked right before the last octets go out. */
  mayEnd: () => boolean;
  /** Asked before everything is sent once more. */
  mayTryAgain: () => boolean;
  signal: AbortSignal;
}>;

/** Milliseconds without progress. */
const answerTime = 60_000;
const idleTime = 60_000;
/** Milliseconds that a body may go on once it has said what became of the message. */
const restOfBody = 1000;
const maxBody = 4096;
const maxInterim = 100;
/** One of these takes about 70 KiB. */
const maxIdleConnections = 128;
const maxIdleEach = 4;

/** What the agent gets from a request beside what node:http knows. */
type Wanted = Pick<HttpsPost, 'connect' | 'key'>;

class ConnectionAgent extends Agent {
  /** Connections that are kept, the longest idle first. */
  readonly #idle = new Set<Duplex>();

  constructor() {
    super({ keepAlive: true, maxFreeSockets: maxIdleEach, timeout: idleTime, scheduling: 'lifo' });
  }

  override getName(options?: object): string {
    return (options as Wanted).key;
  }

  override createConnection(options: object, done?: (error: Error | null, socket: Duplex) => void): undefined {
    (options as Wanted).connect().then(connection => {
      if ('lost' in connection) done?.(new Error(connection.lost), null as never);
      else
        done?.(
          null,
          connection.once('close', () => this.#idle.delete(connection)),
        );
    });
  }

  /** Node keeps the connection only when this is true, whatever its types say. */
  override keepSocketAlive(socket: Duplex): boolean {
    if ((super.keepSocketAlive(socket) as unknown) === false) return false;
    this.#idle.add(socket);
    const [longest] = this.#idle;
    if (this.#idle.size > maxIdleConnections && longest !== undefined) {
      this.#idle.delete(longest);
      longest.destroy();
    }
    return true;
  }

  override reuseSocket(socket: Duplex, client: ClientRequest): void {
    this.#idle.delete(socket);
    super.reuseSocket(socket, client);
  }

  /** Closes the connections that lie idle for that key. */
  forget(key: string): void {
    for (const socket of this.freeSockets[key] ?? []) socket.destroy();
  }
}

export class HttpsClient {
  readonly #agent = new ConnectionAgent();

  /** Posts the message, a second time when a connection that was kept turns out to be closed. */
  async post(mail: HttpsPost): Promise<HttpsAnswer | HttpsLost> {
    try {
      const first = new Exchange(this.#agent, mail);
      const answer = await first.answer;
      if (!first.wasStale || !mail.mayTryAgain()) return answer;
      this.#agent.forget(mail.key);
      return await new Exchange(this.#agent, mail).answer;
    } catch (error) {
      // An address that no header may hold.
      return { lost: messageOf(error), address: '' };
    }
  }

  /** Ends the connections. */
  close(): void {
    this.#agent.destroy();
  }
}

/** One request and its answer. */
class Exchange {
  readonly answer: Promise<HttpsAnswer | HttpsLost>;
  /** A connection that was kept broke before anything was answered: the server had closed it. */
  wasStale = false;
  readonly #mail: HttpsPost;
  readonly #request: ClientRequest;
  readonly #timer: NodeJS.Timeout;
  readonly #resolve: (result: HttpsAnswer | HttpsLost) => void;
  /** As far as it has come. */
  #heard: HttpsAnswer | null = null;
  #response: IncomingMessage | null = null;
  #ending: NodeJS.Timeout | undefined;
  #interim = 0;
  #over = false;

  constructor(agent: Agent, mail: HttpsPost) {
    this.#mail = mail;
    const { promise, resolve } = Promise.withResolvers<HttpsAnswer | HttpsLost>();
    this.answer = promise;
    this.#resolve = resolve;
    const { connect, key } = mail;
    const wanted: Wanted = { connect, key };
    this.#request = request({ agent, method: 'POST', path: '/mxdeliv', headers: headersOf(mail), ...wanted });
    this.#timer = setTimeout(() => this.#lose(`no answer within ${answerTime / 1000} s`), answerTime);
    this.#request
      .on('socket', () => this.#connected())
      .on('response', response => this.#read(response))
      .on('information', this.#waited)
      .on('upgrade', (_response, socket) => {
        socket.destroy();
        this.#lose('101 is no answer');
      })
      .on('close', () => this.#lose('the server closed the connection'))
      .on('error', error => {
        this.wasStale = !this.#over && this.#request.reusedSocket;
        this.#lose(messageOf(error));
      });
    mail.signal.addEventListener('abort', this.#cancelled);
    if (mail.signal.aborted) this.#cancelled();
  }

  /** Not a moment earlier: what is buffered for a connection to come counts as sent. */
  #connected(): void {
    this.#timer.refresh();
    if (!this.#over) this.#send().catch(error => this.#lose(`cannot read the spool: ${messageOf(error)}`));
  }

  /** Each interim answer costs as much as a request. */
  readonly #waited = () => {
    if (++this.#interim > maxInterim) this.#lose('too many interim answers');
  };

  readonly #cancelled = () => this.#lose('the delivery was cancelled');

  #lose(cause: string): void {
    // What the server has said already counts, however it went on.
    const late: Buffer | null = this.#response?.read() ?? null;
    const heard =
      this.#heard && late
        ? { ...this.#heard, body: this.#heard.body + late.toString('latin1', 0, maxBody) }
        : this.#heard;
    if (heard !== null && this.#isDecisive(heard)) this.#settle(heard);
    else this.#settle({ lost: cause, address: this.#request.socket?.remoteAddress ?? '' });
    this.#request.destroy();
  }

  #settle(result: HttpsAnswer | HttpsLost): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#ending);
    this.#mail.signal.removeEventListener('abort', this.#cancelled);
    this.#resolve(result);
  }

  async #send(): Promise<void> {
    const { content, mayEnd } = this.#mail;
    let left = content.octets;
    if (left === 0) this.#finish([], mayEnd);
    for await (const batch of content.read({ release: false })) {
      left -= batch.reduce((octets, buffer) => octets + buffer.length, 0);
      await Promise.race([left === 0 ? this.#finish(batch, mayEnd) : this.#written(batch), this.answer]);
      // Whatever it is, the server has made up its mind.
      if (this.#over) return;
    }
  }

  /** The last octets and the end of the request go together: the answer to them may be quicker than the news that they are written. */
  #finish(batch: readonly Buffer[], mayEnd: () => boolean): Promise<void> {
    if (!mayEnd()) {
      this.#lose('the deadline passed');
      return Promise.resolve();
    }
    const written = this.#written(batch);
    this.#request.end();
    return written;
  }

  #written(batch: readonly Buffer[]): Promise<void> {
    return new Promise(resolve => {
      if (batch.length === 0) resolve();
      for (const [index, buffer] of batch.entries()) {
        const isLast = index === batch.length - 1;
        this.#request.write(buffer, () => {
          this.#timer.refresh();
          if (isLast) resolve();
        });
      }
    });
  }

  #read(response: IncomingMessage): void {
    const { socket, statusCode: status = 0 } = response;
    const address = socket.remoteAddress ?? '';
    const tls = socket instanceof TLSSocket ? (socket.getProtocol() ?? '') : '';
    let heard: HttpsAnswer = { status, body: '', address, tls };
    this.#heard = heard;
    this.#response = response;
    response
      .on('data', (chunk: Buffer) => {
        heard = { ...heard, body: heard.body + chunk.toString('latin1', 0, maxBody - heard.body.length) };
        this.#heard = heard;
        if (heard.body.length >= maxBody) this.#cut(heard);
        else if (this.#isDecisive(heard))
          this.#ending ??= setTimeout(() => this.#lose('the body has no end'), restOfBody);
      })
      .on('end', () => {
        // Nobody can have taken a message that is not there yet; a refusal may come at any time.
        if (isSuccess(status) && !this.#request.writableEnded) this.#lose(`${status} before the end of the message`);
        else this.#settle(heard);
        // A body that is still on its way would be taken for the next request.
        if (!this.#request.writableEnded) this.#request.destroy();
      })
      .on('error', error => this.#lose(messageOf(error)));
  }

  /** Of a body that is too long the beginning has to do. */
  #cut(heard: HttpsAnswer): void {
    if (!isSuccess(heard.status) || this.#request.writableEnded) this.#settle(heard);
    this.#lose(`${heard.status} before the end of the message`);
  }

  /** Whether the rest of the answer can change nothing: a success has to say so in its body. */
  #isDecisive({ status, body }: HttpsAnswer): boolean {
    return !isSuccess(status) || (this.#request.writableEnded && /^2\d\d[ -]/.test(body));
  }
}

export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

function headersOf({ host, envelope, content }: HttpsPost): Record<string, string | number | string[]> {
  return {
    Host: host.includes(':') ? `[${host}]` : host,
    [senderHeader]: envelope.from.address,
    [recipientHeader]: envelope.recipients.map(({ address }) => address),
    'Content-Type': 'message/rfc822',
    'Content-Length': content.octets,
  };
}
