// The next hop, an SMTP server that does what a test tells it: what it is not told about, it takes and keeps.

import assert from 'node:assert/strict';
import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { undoAtEnd } from './tidy.ts';

/** What the client did. `line` is its command; for a delivery, the message has come to its end. */
export type Said = Readonly<{
  verb: 'connect' | 'EHLO' | 'MAIL' | 'RCPT' | 'DATA' | 'message' | 'QUIT' | 'XFORWARD' | 'RSET' | 'other';
  line: string;
  socket: Socket;
}>;

export type Delivery = Readonly<{
  /** All commands of the transaction. */
  commands: readonly string[];
  /** Octets of the wire form without the final dot line. */
  length: number;
  sha256: string;
  /** The wire form of a message up to 1 MiB; of larger ones only the length and the hash are kept. */
  octets: Buffer;
}>;

export const offered = [
  'PIPELINING',
  'SIZE',
  'DSN',
  '8BITMIME',
  'SMTPUTF8',
  'XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE',
];
const keptOctets = 1_048_576;

export class NextHop {
  /** What is answered instead of the usual: null for silence, several lines with CRLF between them. */
  answer: (said: Said) => string | null | undefined = () => undefined;
  extensions: readonly string[] = offered;
  /** All that was said, of all connections in order. */
  readonly heard: string[] = [];
  readonly sockets = new Set<Socket>();
  connections = 0;
  readonly #deliveries: Delivery[] = [];
  readonly #server: Server;
  readonly #watchers = new Set<() => void>();
  readonly #forget = undoAtEnd(() => this.#end());

  private constructor() {
    this.#server = createServer({ noDelay: true }, socket => {
      this.connections++;
      this.sockets.add(socket);
      socket.on('close', () => {
        this.sockets.delete(socket);
        this.tell('(closed)');
      });
      socket.on('error', () => socket.destroy());
      serve(socket, this);
    });
  }

  static async start(port = 0): Promise<NextHop> {
    const hop = new NextHop();
    hop.#server.listen(port, '127.0.0.1');
    await once(hop.#server, 'listening');
    return hop;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** What was delivered since the last call. */
  take(): Delivery[] {
    return this.#deliveries.splice(0);
  }

  keep(delivery: Delivery): void {
    this.#deliveries.push(delivery);
  }

  tell(line: string): void {
    this.heard.push(line);
    for (const look of this.#watchers) look();
  }

  /** Waits until something is heard that matches, `heard` counted from `mark` on. */
  hears(pattern: RegExp, mark = 0, withinMs = 20_000): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = () => {
        clearTimeout(timer);
        this.#watchers.delete(look);
      };
      const look = () => {
        if (!this.heard.slice(mark).some(line => pattern.test(line))) return;
        done();
        resolve();
      };
      const timer = setTimeout(() => {
        done();
        reject(new Error(`${pattern} not heard within ${withinMs} ms, but: ${this.heard.slice(mark).join(' | ')}`));
      }, withinMs);
      this.#watchers.add(look);
      look();
    });
  }

  /** Goes away, with all connections; called at the end of the test file at the latest. */
  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#end();
    await closed;
    this.#forget();
  }

  #end(): void {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
  }
}

class Message {
  readonly commands: readonly string[];
  // The line break before the first line, so that a dot on it is found like any other.
  #tail: Buffer = Buffer.from('\r\n');
  #kept: Buffer[] = [];
  #length = -2;
  readonly #hash: Hash = createHash('sha256');
  #hashFrom = 2;

  constructor(commands: readonly string[]) {
    this.commands = commands;
  }

  /** The octets behind the end, or null while it has not come. */
  read(chunk: Buffer): Buffer | null {
    const text = Buffer.concat([this.#tail, chunk]);
    const end = text.indexOf('\r\n.\r\n');
    const stop = end < 0 ? Math.max(0, text.length - 4) : end + 2;
    this.#add(text.subarray(0, stop));
    this.#tail = text.subarray(stop);
    return end < 0 ? null : text.subarray(end + 5);
  }

  #add(octets: Buffer): void {
    this.#length += octets.length;
    const skipped = Math.min(this.#hashFrom, octets.length);
    this.#hashFrom -= skipped;
    const own = octets.subarray(skipped);
    this.#hash.update(own);
    if (this.#length <= keptOctets) this.#kept.push(Buffer.from(own));
    else this.#kept = [];
  }

  delivery(): Delivery {
    const { commands } = this;
    return { commands, length: this.#length, sha256: this.#hash.digest('hex'), octets: Buffer.concat(this.#kept) };
  }
}

function serve(socket: Socket, hop: NextHop): void {
  let pending: Buffer = Buffer.alloc(0);
  let commands: string[] = [];
  let message: Message | null = null;

  const say = (verb: Said['verb'], line: string, usual: string): string | null => {
    hop.tell(verb === 'connect' || verb === 'message' ? `(${verb})` : line);
    const answer = hop.answer({ verb, line, socket });
    const text = answer === undefined ? usual : answer;
    if (text !== null && socket.writable) socket.write(`${text}\r\n`, 'latin1');
    return text;
  };

  function command(line: string): void {
    const word = /^[A-Za-z]*/.exec(line)?.[0].toUpperCase() ?? '';
    commands.push(line);
    if (word === 'EHLO') {
      const lines = ['hop.test', ...hop.extensions];
      commands = [];
      say('EHLO', line, lines.map((text, at) => `250${at < lines.length - 1 ? '-' : ' '}${text}`).join('\r\n'));
    } else if (word === 'DATA') {
      if (say('DATA', line, '354 go on')?.startsWith('354')) message = new Message(commands);
    } else if (word === 'QUIT') {
      say('QUIT', line, '221 2.0.0 Bye');
      socket.end();
    } else if (word === 'MAIL' || word === 'RCPT' || word === 'XFORWARD' || word === 'RSET') {
      say(word, line, '250 2.1.0 Ok');
    } else say('other', line, '502 5.5.1 What?');
  }

  function take(whole: Message): void {
    const answer = say('message', '', '250 2.0.0 Ok: queued as 42');
    if (answer?.startsWith('250')) hop.keep(whole.delivery());
    message = null;
    commands = [];
  }

  say('connect', '', '220 hop.test ESMTP');
  socket.on('data', (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (pending.length > 0) {
      if (message !== null) {
        const rest = message.read(pending);
        pending = rest ?? Buffer.alloc(0);
        if (rest !== null) take(message);
        continue;
      }
      const end = pending.indexOf('\r\n');
      if (end < 0) return;
      const line = pending.toString('latin1', 0, end);
      pending = pending.subarray(end + 2);
      command(line);
    }
  });
}

/** The only delivery since the last call is this wire form. */
export function assertDelivered(hop: NextHop, wire: Buffer): Delivery {
  const deliveries = hop.take();
  assert.equal(deliveries.length, 1, 'one delivery');
  const [delivery] = deliveries;
  assert.ok(delivery);
  const expected = wire.subarray(0, -3);
  assert.deepEqual([delivery.length, delivery.sha256], [expected.length, sha256(expected)], 'octet for octet');
  return delivery;
}

/** Exactly these messages were delivered since the last call, octet for octet, in any order. */
export function assertAllDelivered(hop: NextHop, mails: readonly Readonly<{ wire: Buffer }>[]): void {
  assert.deepEqual(
    hop
      .take()
      .map(delivery => delivery.sha256)
      .sort(),
    mails.map(({ wire }) => sha256(wire.subarray(0, -3))).sort(),
  );
}

export function sha256(octets: Buffer): string {
  return createHash('sha256').update(octets).digest('hex');
}
