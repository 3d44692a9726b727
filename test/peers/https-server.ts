/**
 * An HTTPS server on raw TLS sockets: it reads requests with a counted body, and a script answers with any octets, at any time, or breaks off.
 */
import { createHash } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, type SecureContext, type SecureContextOptions, TLSSocket } from 'node:tls';
import { Attempt } from '../../src/deliver/attempt.ts';
import { HttpsCarrier, type HttpsResult } from '../../src/deliver/https-carrier.ts';
import { TlsClient } from '../../src/deliver/secure.ts';
import type { Host } from '../../src/deliver/smtp-carrier.ts';
import type { Envelope } from '../../src/message/envelope.ts';
import type { Clock } from '../../src/system/clock.ts';
import { spoolOf } from '../deliver/delivery.ts';
import type { Certificate } from './authority.ts';

export type Script = Readonly<{
  /** A TCP connection stands; by default it goes on to TLS. */
  connection?: (peer: HttpsPeer) => void;
  secure?: (peer: HttpsPeer) => void;
  head?: (peer: HttpsPeer, request: HttpsRequest) => void;
  body?: (peer: HttpsPeer, request: HttpsRequest) => void;
  /** All of it has; by default that is accepted. */
  request?: (peer: HttpsPeer, request: HttpsRequest) => void;
}>;

export type ListenOptions = Readonly<{
  host?: string;
  port?: number;
  script?: Script;
  tls?: Pick<SecureContextOptions, 'minVersion' | 'maxVersion' | 'ciphers'>;
  /** Bodies are kept, not only counted and digested. */
  keepsBodies?: boolean;
}>;

/** An answer whose body is counted. */
export function answer(status: number, body = '', ...lines: readonly string[]): string {
  return [`HTTP/1.1 ${status} Said`, `Content-Length: ${body.length}`, ...lines, '', body].join('\r\n');
}

export const accepted = answer(200, '250 2.0.0 OK');

export class HttpsRequest {
  readonly lines: readonly string[];
  readonly length: number;
  received = 0;
  readonly #hash = createHash('sha256');
  readonly #chunks: Buffer[] | null;

  constructor(head: string, keepsBody: boolean) {
    this.lines = head.split('\r\n');
    this.#chunks = keepsBody ? [] : null;
    this.length = Number(this.values('content-length')[0] ?? 0);
  }

  /** Of all headers with that name, in their order. */
  values(name: string): string[] {
    const prefix = `${name.toLowerCase()}:`;
    return this.lines.flatMap(line =>
      line.toLowerCase().startsWith(prefix) ? [line.slice(prefix.length).trim()] : [],
    );
  }

  get complete(): boolean {
    return this.received >= this.length;
  }

  digest(): string {
    return this.#hash.digest('hex');
  }

  get body(): Buffer {
    return Buffer.concat(this.#chunks ?? []);
  }

  /** Takes what belongs to the body and returns the rest. */
  take(octets: Buffer): Buffer {
    const own = octets.subarray(0, this.length - this.received);
    this.received += own.length;
    this.#hash.update(own);
    this.#chunks?.push(own);
    return octets.subarray(own.length);
  }
}

/** One connection, seen from the server. */
export class HttpsPeer {
  readonly plain: Socket;
  readonly requests: HttpsRequest[] = [];
  readonly closed: Promise<void>;
  isOpen = true;
  resumed = false;
  greeted = false;
  serverName = '';
  #secured: TLSSocket | null = null;
  #pending: Buffer = Buffer.alloc(0);
  #current: HttpsRequest | null = null;
  readonly #server: HttpsServer;
  readonly #over: () => void;

  constructor(plain: Socket, server: HttpsServer) {
    this.plain = plain;
    this.#server = server;
    plain.on('error', () => plain.destroy());
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#over = () => {
      this.isOpen = false;
      resolve();
      server.tell();
    };
    plain.once('close', this.#over);
  }

  /** Leaves the first octets of the client unanswered; TLS may begin later. */
  hold(): void {
    this.plain.once('readable', () => {
      this.greeted = true;
      this.#server.tell();
    });
  }

  secure(context: SecureContext = this.#server.context): void {
    const secured = new TLSSocket(this.plain, { isServer: true, secureContext: context });
    this.#secured = secured;
    secured.on('error', () => this.plain.destroy());
    secured.once('close', this.#over);
    secured.on('data', (octets: Buffer) => this.#received(octets));
    secured.once('secure', () => {
      this.resumed = secured.isSessionReused();
      this.serverName = (secured as { servername?: string }).servername || '';
      this.#server.script.secure?.(this);
      this.#server.tell();
    });
  }

  write(octets: string | Buffer): void {
    const socket = this.#secured ?? this.plain;
    if (socket.writable) socket.write(octets, 'latin1');
  }

  /** Ends the connection in order, TLS included. */
  end(octets: string | Buffer = ''): void {
    const socket = this.#secured ?? this.plain;
    if (octets.length > 0) this.write(octets);
    socket.end();
  }

  reset(): void {
    // After a FIN the system does not allow it, and the descriptor would stay.
    if ((this.#secured ?? this.plain).writableEnded || this.plain.writableEnded) this.destroy();
    else this.plain.resetAndDestroy();
  }

  destroy(): void {
    this.#secured?.destroy();
    this.plain.destroy();
  }

  /** Reads nothing until `resume`, not even the end. */
  pause(): void {
    this.#secured?.pause();
  }

  resume(): void {
    (this.#secured ?? this.plain).resume();
  }

  #received(octets: Buffer): void {
    const { script, keepsBodies } = this.#server;
    this.#pending = this.#pending.length > 0 ? Buffer.concat([this.#pending, octets]) : octets;
    while (this.#pending.length > 0 || this.#current !== null) {
      if (this.#current === null) {
        const end = this.#pending.indexOf('\r\n\r\n');
        if (end < 0) break;
        this.#current = new HttpsRequest(this.#pending.toString('latin1', 0, end), keepsBodies);
        this.#pending = this.#pending.subarray(end + 4);
        this.requests.push(this.#current);
        this.#server.requests.push(this.#current);
        script.head?.(this, this.#current);
      }
      const request: HttpsRequest = this.#current;
      this.#pending = request.take(this.#pending);
      script.body?.(this, request);
      if (!request.complete) break;
      this.#current = null;
      if (script.request === undefined) this.write(accepted);
      else script.request(this, request);
    }
    this.#server.tell();
  }
}

export class HttpsServer implements AsyncDisposable {
  readonly port: number;
  readonly peers: HttpsPeer[] = [];
  /** Complete or not, of all connections in their order. */
  readonly requests: HttpsRequest[] = [];
  readonly keepsBodies: boolean;
  script: Script;
  context: SecureContext;
  readonly #server: Server;
  readonly #events = new EventEmitter().setMaxListeners(0);

  private constructor(server: Server, context: SecureContext, { script = {}, keepsBodies = true }: ListenOptions) {
    this.#server = server;
    this.context = context;
    this.script = script;
    this.keepsBodies = keepsBodies;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', socket => {
      const peer = new HttpsPeer(socket, this);
      this.peers.push(peer);
      if (this.script.connection === undefined) peer.secure();
      else this.script.connection(peer);
      this.tell();
    });
  }

  static async listen(pair: Pick<Certificate, 'key' | 'cert'>, options: ListenOptions = {}): Promise<HttpsServer> {
    const { key, cert } = pair;
    const { host = '127.0.0.1', port = 0, tls = {} } = options;
    const server = createServer({ noDelay: true }).listen({ host, port });
    await once(server, 'listening');
    return new HttpsServer(server, createSecureContext({ key, cert, ...tls }), options);
  }

  get open(): number {
    return this.peers.filter(({ isOpen }) => isOpen).length;
  }

  get complete(): readonly HttpsRequest[] {
    return this.requests.filter(({ complete }) => complete);
  }

  /** Waits for events of its connections until that is so. */
  async until(isSo: () => boolean, withinMs = 10_000): Promise<void> {
    const signal = AbortSignal.timeout(withinMs);
    while (!isSo()) await once(this.#events, 'event', { signal });
  }

  /** Something has happened. */
  tell(): void {
    this.#events.emit('event');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const peer of this.peers) peer.destroy();
    await Promise.all(this.peers.map(({ closed }) => closed));
  }
}

type Sending = Readonly<{
  host?: Partial<Host>;
  from?: string;
  to?: readonly string[];
  wire?: string;
  budget?: number;
  gone?: AbortSignal;
  deadline?: number;
  clock?: Clock;
}>;

const usualHost: Host = { name: 'mx.two.test', addresses: ['127.0.0.1'], anyCertificate: false, plainAllowed: false };

export function envelopeOf(from: string, to: readonly string[]): Envelope {
  const path = (address: string) => ({ address, parameters: new Map() });
  return { from: path(from), recipients: to.map(path), xforward: [] };
}

/** Delivers to `mx.two.test`, which is at 127.0.0.1 and has a certificate of that authority. */
export class HttpsSender implements Disposable {
  readonly carrier: HttpsCarrier;
  readonly #clock: Clock;

  constructor(port: number, ca: string, clock: Clock = () => performance.now()) {
    this.#clock = clock;
    const context = createSecureContext({ ca, minVersion: 'TLSv1.2' });
    this.carrier = new HttpsCarrier(port, new TlsClient(context), clock);
  }

  async deliver(sending: Sending = {}): Promise<HttpsResult> {
    const { from = 'alice@one.test', to = ['bob@two.test'], wire = 'Subject: x\r\n\r\nhello\r\n', budget } = sending;
    const clock = sending.clock ?? this.#clock;
    const { gone = new AbortController().signal, deadline = clock() + 240_000 } = sending;
    const content = await spoolOf(wire, budget);
    const attempt = new Attempt({ deadline, answerGrace: 315_000, gone, clock });
    try {
      return await this.carrier.deliver({ ...usualHost, ...sending.host }, envelopeOf(from, to), content, attempt);
    } finally {
      attempt.end();
      content.discard();
    }
  }

  [Symbol.dispose](): void {
    this.carrier.close();
  }
}
