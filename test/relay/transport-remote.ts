// Remote hosts of the transport mode: SMTP with STARTTLS and HTTPS /mxdeliv on addresses of loopback, doing what a test tells them. What
// they are not told about they take and keep.

import { once } from 'node:events';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import type { Certificate } from '../peers/authority.ts';
import { undoAtExit } from './leftovers.ts';

type Verb = 'connect' | 'EHLO' | 'STARTTLS' | 'MAIL' | 'RCPT' | 'DATA' | 'message' | 'QUIT' | 'other' | 'POST';

/** What a client did: a command, the head of a request, or for `message` all octets of one. */
export type Said = Readonly<{
  carrier: 'SMTP' | 'HTTPS';
  verb: Verb;
  line: string;
  socket: Duplex;
  /** Address of the remote that was spoken to. */
  address: string;
}>;

/** Lines of a reply, over HTTPS status and body; silence; or the end of the connection. Undefined: as usual. */
export type Answer = string | typeof silence | typeof cut | undefined;
export const silence = Symbol('silence');
export const cut = Symbol('cut');

/** A message that was answered with 2xx. */
export type Taken = Readonly<{
  carrier: 'SMTP' | 'HTTPS';
  address: string;
  to: readonly string[];
  /** The wire form without the final dot line. */
  octets: Buffer;
}>;

export type RemoteOptions = Readonly<{
  addresses: readonly string[];
  certificate: Pick<Certificate, 'key' | 'cert'>;
  smtpPort?: number;
  httpsPort?: number;
}>;

export class Remote implements AsyncDisposable {
  answer: (said: Said) => Answer | Promise<Answer> = () => undefined;
  /** Awaited before TLS of HTTPS begins. */
  secure: () => undefined | Promise<unknown> = () => undefined;
  readonly taken: Taken[] = [];
  /** Everything clients said, in order: `250.test RCPT TO:<...>`. */
  readonly heard: string[] = [];
  readonly sockets = new Set<Socket>();
  connections = 0;
  readonly #context: SecureContext;
  readonly #servers: Server[] = [];
  readonly #watchers = new Set<() => void>();
  readonly #forget = undoAtExit(() => this.#cutAll());

  private constructor(certificate: Pick<Certificate, 'key' | 'cert'>) {
    this.#context = createSecureContext(certificate);
  }

  static async start({ addresses, certificate, smtpPort, httpsPort }: RemoteOptions): Promise<Remote> {
    const remote = new Remote(certificate);
    for (const address of addresses) {
      if (smtpPort !== undefined) await remote.#listen(remote.#smtp(address), smtpPort, address);
      if (httpsPort !== undefined) await remote.#listen(remote.#https(address), httpsPort, address);
    }
    return remote;
  }

  /** Resolves when `count` things were heard that match, those after `mark` counted. */
  hears(pattern: RegExp, { mark = 0, count = 1, withinMs = 20_000 } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = () => {
        clearTimeout(timer);
        this.#watchers.delete(look);
      };
      const look = () => {
        if (this.heard.slice(mark).filter(line => pattern.test(line)).length < count) return;
        done();
        resolve();
      };
      const timer = setTimeout(() => {
        done();
        reject(
          new Error(`${pattern} not heard ${count} times in ${withinMs} ms: ${this.heard.slice(mark).join(' | ')}`),
        );
      }, withinMs);
      this.#watchers.add(look);
      look();
    });
  }

  /** Ends all connections that stand. */
  hangUp(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#forget();
    const closed = this.#servers.map(server => once(server, 'close'));
    this.#cutAll();
    await Promise.all(closed);
  }

  #cutAll(): void {
    for (const server of this.#servers) server.close();
    this.hangUp();
  }

  async #listen(server: Server, port: number, address: string): Promise<void> {
    server.listen({ host: address, port, backlog: 1024 });
    await once(server, 'listening');
    server.on('connection', socket => {
      this.connections++;
      this.sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        this.sockets.delete(socket);
        this.#tell('(closed)');
      });
    });
    this.#servers.push(server);
  }

  #tell(line: string): void {
    this.heard.push(line);
    for (const look of this.#watchers) look();
  }

  #ask(said: Said): Answer | Promise<Answer> {
    this.#tell(said.line === '' ? `(${said.verb})` : said.line);
    return this.answer(said);
  }

  #smtp(address: string): Server {
    return createServer({ noDelay: true }, socket => {
      this.#serve(socket, address).catch(() => socket.destroy());
    });
  }

  async #serve(plain: Socket, address: string): Promise<void> {
    let socket: Duplex = plain;
    let reader = new Reader(plain);
    let hasSender = false;
    let to: string[] = [];
    const say = async (verb: Verb, line: string, usual: string): Promise<string> => {
      const answer = (await this.#ask({ carrier: 'SMTP', verb, line, socket, address })) ?? usual;
      if (answer === cut) throw new Error('cut');
      if (answer === silence) return '';
      if (!socket.writable) return '';
      socket.write(`${answer}\r\n`, 'latin1');
      return answer;
    };
    await say('connect', '', '220 remote.test ESMTP');
    for (let line = await reader.until('\r\n'); line !== null; line = await reader.until('\r\n')) {
      const command = line.toString('latin1');
      const verb = /^(EHLO|STARTTLS|MAIL|RCPT|DATA|QUIT)\b/i.exec(command)?.[1]?.toUpperCase() as Verb | undefined;
      if (verb === 'EHLO') {
        const offers = ['PIPELINING', '8BITMIME', 'SMTPUTF8', ...(socket === plain ? ['STARTTLS'] : []), 'SIZE'];
        await say(
          verb,
          command,
          `250-remote.test\r\n${offers.map((x, n) => `250${n === offers.length - 1 ? ' ' : '-'}${x}`).join('\r\n')}`,
        );
      } else if (verb === 'STARTTLS') {
        if (!(await say(verb, command, '220 go on')).startsWith('220')) continue;
        reader.release();
        const secured = new TLSSocket(plain, { isServer: true, secureContext: this.#context });
        secured.on('error', () => plain.destroy());
        socket = secured;
        reader = new Reader(secured);
      } else if (verb === 'MAIL') {
        to = [];
        hasSender = (await say(verb, command, '250 2.1.0 Ok')).startsWith('2');
      } else if (verb === 'RCPT') {
        const usual = hasSender ? '250 2.1.5 Ok' : '503 5.5.1 no sender';
        if ((await say(verb, command, usual)).startsWith('2') && hasSender) to.push(/<(.*)>/.exec(command)?.[1] ?? '');
      } else if (verb === 'DATA') {
        const usual = to.length > 0 ? '354 go on' : '554 5.5.1 no recipient';
        if (!(await say(verb, command, usual)).startsWith('354')) continue;
        const octets = await reader.message();
        if (octets === null) return;
        const taken: Taken = { carrier: 'SMTP', address, to, octets };
        if (/^2\d\d [^\n]*$/.test(await say('message', '', '250 2.0.0 taken')) && to.length > 0) this.taken.push(taken);
        hasSender = false;
        to = [];
      } else if (verb === 'QUIT') {
        await say(verb, command, '221 2.0.0 Bye');
        socket.end();
      } else await say('other', command, '502 5.5.1 What?');
    }
  }

  #https(address: string): Server {
    const http = this.#http(address);
    return createServer({ noDelay: true }, async plain => {
      await this.secure();
      const secured = new TLSSocket(plain, { isServer: true, secureContext: this.#context });
      secured.on('error', () => plain.destroy());
      http.emit('connection', secured);
    });
  }

  #http(address: string): HttpServer {
    return createHttpServer({ keepAliveTimeout: 60_000 }, async (request, response) => {
      const { socket } = request;
      const to = request.headersDistinct['x-mail-to'] ?? [];
      const said = { carrier: 'HTTPS', socket, address } as const;
      request.on('error', () => socket.destroy());
      response.on('error', () => socket.destroy());
      const parts: Buffer[] = [];
      try {
        let answer = await this.#ask({ ...said, verb: 'POST', line: `POST ${to.join(' ')}` });
        if (answer === undefined) {
          for await (const part of request) parts.push(part as Buffer);
          answer = await this.#ask({ ...said, verb: 'message', line: '' });
        }
        if (answer === cut) return void socket.destroy();
        if (answer === silence || !socket.writable) return;
        const [, status = '', body = ''] = /^(\d+) ?(.*)$/s.exec(answer ?? '200 250 2.0.0 taken') ?? [];
        response.writeHead(Number(status)).end(body);
        if (status.startsWith('2') && /^(?:2\d\d|OK$|$)/i.test(body) && request.complete)
          this.taken.push({ carrier: 'HTTPS', address, to, octets: Buffer.concat(parts) });
      } catch {
        socket.destroy();
      }
    });
  }
}

/** Takes octets from a stream up to a mark. */
class Reader {
  #octets: Buffer = Buffer.alloc(0);
  #over = false;
  #wake: () => void = () => undefined;
  readonly #stream: Duplex;

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on('data', this.#take).on('end', this.#end).on('close', this.#end);
  }

  /** Leaves the stream to another. */
  release(): void {
    this.#stream.off('data', this.#take).off('end', this.#end).off('close', this.#end);
  }

  readonly #take = (chunk: Buffer) => {
    this.#octets = this.#octets.length === 0 ? chunk : Buffer.concat([this.#octets, chunk]);
    this.#wake();
  };

  readonly #end = () => {
    this.#over = true;
    this.#wake();
  };

  /** What comes before the mark, which is taken too; null when the stream ends first. */
  async until(mark: string): Promise<Buffer | null> {
    for (let from = 0; ; ) {
      const at = this.#octets.indexOf(mark, from);
      if (at >= 0) {
        const found = this.#octets.subarray(0, at);
        this.#octets = this.#octets.subarray(at + mark.length);
        return found;
      }
      if (this.#over) return null;
      from = Math.max(0, this.#octets.length - mark.length);
      await new Promise<void>(resolve => (this.#wake = resolve));
    }
  }

  /** A message up to its final dot. */
  async message(): Promise<Buffer | null> {
    this.#octets = Buffer.concat([Buffer.from('\r\n'), this.#octets]);
    const found = await this.until('\r\n.\r\n');
    return found === null ? null : Buffer.concat([found.subarray(2), Buffer.from('\r\n')]);
  }
}
