/**
 * The scripted SMTP server with STARTTLS, on any address and port: it says and keeps in plain text and in TLS what a test wants.
 *
 *     const server = await TlsSmtpServer.at('127.0.0.2', port, { certificate });
 *     server.plan = (stage, talk) => (stage === 'MAIL' && talk.number === 0 ? '451 4.3.0 later' : undefined);
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, type SecureContext, type SecureVersion, TLSSocket } from 'node:tls';
import { type Move, Peer, ScriptedServer, type Stage } from '../deliver/scripted-server.ts';
import type { Certificate } from './authority.ts';

export type TlsStage = Stage | 'STARTTLS';

/** Decides a move; undefined is the usual one. An upgrade follows each 220 to STARTTLS. */
export type Plan = (stage: TlsStage, talk: Talk, line: string) => Move | undefined;

export type TlsSmtpOptions = Readonly<{
  certificate?: Pick<Certificate, 'key' | 'cert'>;
  plan?: Plan;
  /** Announced in TLS, and before it together with STARTTLS. */
  extensions?: readonly string[];
  /** Announced before TLS instead. */
  plainExtensions?: readonly string[];
  minVersion?: SecureVersion;
  maxVersion?: SecureVersion;
  /** Keys, digests and versions that are too weak today. */
  weak?: boolean;
  /** Wants one of the client, without a session context: OpenSSL then breaks off each handshake that would resume a session. */
  wantsCertificate?: boolean;
  /** Messages are not kept, only `digests` of them. */
  swallows?: boolean;
}>;

export const usualExtensions = ['PIPELINING', 'SIZE 31457280', '8BITMIME', 'SMTPUTF8', 'ENHANCEDSTATUSCODES'];

/** One connection, in plain text first. */
export class Talk {
  readonly number: number;
  plain: Peer | null = null;
  tls: Peer | null = null;
  /** SNI, null where the client named nobody. */
  serverName: string | null = null;
  protocol: string | null = null;
  resumed = false;
  /** Why there was no TLS. */
  failure: string | null = null;

  constructor(number: number) {
    this.number = number;
  }

  /** The side that speaks. */
  get peer(): Peer {
    const peer = this.tls ?? this.plain;
    if (peer === null) throw new Error('the connection has not begun');
    return peer;
  }

  get sides(): Peer[] {
    return [this.plain, this.tls].filter(side => side !== null);
  }

  get isSecure(): boolean {
    return this.tls !== null;
  }

  get closed(): boolean {
    return this.plain?.closed === true;
  }

  /** Commands of both sides. */
  get commands(): string[] {
    return this.sides.flatMap(({ commands }) => commands);
  }

  get verbs(): string {
    return this.commands.map(command => command.split(' ', 1)[0]).join(' ');
  }
}

export class TlsSmtpServer extends ScriptedServer {
  plan: Plan;
  readonly talks: Talk[] = [];
  /** SHA-256 in hex of the messages that were swallowed. */
  readonly digests: string[] = [];
  readonly #options: TlsSmtpOptions;
  readonly #context: SecureContext | null;
  readonly #listener: Server;
  readonly #talkOf = new Map<Peer, Talk>();
  #beginning: Talk | null = null;

  private constructor(options: TlsSmtpOptions) {
    super(() => undefined, options.extensions ?? usualExtensions);
    this.script = (stage, peer, line) => this.#decide(stage, peer, line);
    this.plan = options.plan ?? (() => undefined);
    this.#options = options;
    const { certificate, minVersion, maxVersion, weak } = options;
    this.#context =
      certificate === undefined
        ? null
        : createSecureContext({
            key: certificate.key,
            cert: certificate.cert,
            ...(minVersion === undefined ? {} : { minVersion }),
            ...(maxVersion === undefined ? {} : { maxVersion }),
            ...(weak === true ? { ciphers: 'DEFAULT@SECLEVEL=0' } : {}),
          });
    this.#listener = createServer({ noDelay: true, allowHalfOpen: true }, socket => this.#begin(socket));
  }

  static async at(address: string, port: number, options: TlsSmtpOptions = {}): Promise<TlsSmtpServer> {
    const server = new TlsSmtpServer(options);
    server.#listener.listen(port, address);
    await once(server.#listener, 'listening');
    return server;
  }

  override get open(): number {
    return this.talks.filter(({ closed }) => !closed).length;
  }

  talk(number: number): Talk {
    const talk = this.talks[number];
    if (talk === undefined) throw new Error(`there is no connection ${number}`);
    return talk;
  }

  /** Takes no more connections; those that stand go on. */
  deafen(): void {
    this.#listener.close();
  }

  /** At once, whatever the client still wants. */
  override async close(): Promise<void> {
    this.#listener.close();
    for (const { sides } of this.talks) for (const { socket } of sides) socket.destroy();
  }

  #begin(socket: Socket): void {
    const talk = new Talk(this.talks.length);
    this.talks.push(talk);
    talk.plain = this.#side(talk, socket);
    this.changed();
  }

  #side(talk: Talk, socket: Socket): Peer {
    this.#beginning = talk;
    const peer = new Peer(this, socket, talk.number);
    this.#beginning = null;
    this.#talkOf.set(peer, talk);
    this.peers.push(peer);
    return peer;
  }

  #decide(stage: Stage, peer: Peer, line: string): Move | undefined {
    const talk = this.#talkOf.get(peer) ?? this.#beginning;
    if (talk === null) throw new Error('a side without a connection');
    if (stage === 'greeting' && talk.plain !== null) return {};
    if (stage === 'other' && /^STARTTLS$/i.test(line)) return this.#startTls(talk, line);
    const move = this.plan(stage, talk, line) ?? (stage === 'EHLO' ? this.#announced(talk) : undefined);
    if (stage !== 'DATA' || move !== undefined || this.#options.swallows !== true) return move;
    process.nextTick(() => this.#swallow(talk));
    return {};
  }

  #announced({ isSecure }: Talk): string {
    const before = this.#options.plainExtensions ?? [
      ...this.extensions,
      ...(this.#context === null ? [] : ['STARTTLS']),
    ];
    const lines = ['sink.example', ...(isSecure ? this.extensions : before)];
    return lines.map((text, index) => `250${index === lines.length - 1 ? ' ' : '-'}${text}`).join('\r\n');
  }

  #startTls(talk: Talk, line: string): Move {
    const move = this.plan('STARTTLS', talk, line) ?? (this.#context === null ? '502 5.5.1 No' : '220 2.0.0 Go ahead');
    const said = typeof move === 'string' ? move : (move.raw ?? move.say ?? '');
    if (said.startsWith('220')) process.nextTick(() => this.#upgrade(talk));
    return move;
  }

  #upgrade(talk: Talk): void {
    const { socket } = talk.peer;
    if (this.#context === null || socket.destroyed) return;
    socket.removeAllListeners('data').removeAllListeners('end');
    const secured = new TLSSocket(socket, {
      isServer: true,
      requestCert: this.#options.wantsCertificate === true,
      rejectUnauthorized: false,
      secureContext: this.#context,
      SNICallback: (name, done) => {
        talk.serverName = name;
        done(null);
      },
    });
    secured.on('error', error => {
      talk.failure ??= error.message;
      this.changed();
    });
    secured.on('secure', () => {
      talk.protocol = secured.getProtocol();
      talk.resumed = secured.isSessionReused();
      this.changed();
    });
    // Of itself a TLS socket cannot.
    secured.resetAndDestroy = () => {
      socket.resetAndDestroy();
      return secured;
    };
    talk.tls = this.#side(talk, secured);
  }

  /** In place of the side's own reading: the message is digested piece by piece. */
  #swallow(talk: Talk): void {
    const { peer } = talk;
    const { socket } = peer;
    const reading = socket.listeners('data');
    const hash = createHash('sha256');
    // The line end before the message may be part of an immediate final dot.
    let held = '\r\n';
    let start = 2;
    const eat = (text: unknown) => {
      held += String(text);
      const end = held.indexOf('\r\n.\r\n');
      const stop = end < 0 ? held.length - 4 : end + 2;
      if (end < 0 && stop <= start) return;
      hash.update(held.slice(start, stop), 'latin1');
      held = held.slice(stop);
      start = 0;
      if (end < 0) return;
      this.digests.push(hash.digest('hex'));
      socket.removeAllListeners('data');
      for (const each of reading) socket.on('data', each as (chunk: Buffer) => void);
      peer.do(this.plan('message', talk, '') ?? '250 2.0.0 Ok: swallowed');
      this.changed();
    };
    socket.removeAllListeners('data').on('data', eat);
    peer.do('354 Go on');
  }
}
