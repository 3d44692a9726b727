// An SMTP server on a loopback port that does at each stage of a dialogue what a test wants, and keeps every octet it got.

import { createServer, type Server, type Socket } from 'node:net';

export type Stage = 'greeting' | 'EHLO' | 'XFORWARD' | 'MAIL' | 'RCPT' | 'DATA' | 'data' | 'message' | 'QUIT' | 'other';

/**
 * What the server does: a text is said with CRLF behind it; `raw` is said as it is. Then it goes on, or closes, resets the
 * connection, stops reading. `{}` is silence.
 */
export type Move = string | { raw?: string; say?: string; and?: 'close' | 'reset' | 'deaf' };

/**
 * Decides a move; undefined is the usual one. At the stage `data`, which comes with each piece of a message that has not ended, the
 * usual move is to listen on.
 */
export type Script = (stage: Stage, peer: Peer, line: string) => Move | undefined;

export const postfixExtensions = [
  'PIPELINING',
  'SIZE 31457280',
  'ENHANCEDSTATUSCODES',
  '8BITMIME',
  'DSN',
  'SMTPUTF8',
  'XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE',
];

const patience = 10_000;
// Those of Node, whatever a test puts in their place.
const { setTimeout: startTimer, clearTimeout: stopTimer } = globalThis;

const endOfData = '\r\n.\r\n';

/** One connection, seen from the server. */
export class Peer {
  /** Its place in the order of connections, from 0. */
  readonly number: number;
  /** Command lines, without CRLF. */
  readonly commands: string[] = [];
  /** Wire forms of complete messages, without the final dot line. */
  readonly messages: string[] = [];
  /** Octets of the message that has not ended. */
  pending = 0;
  /** More octets were there when a command was carried out: the client did not wait for the answer. */
  ranAhead = false;
  closed = false;
  readonly socket: Socket;
  readonly #server: ScriptedServer;
  #input = '';
  #over = false;
  /** The message under way: the pieces, and the end of what came so far. */
  #pieces: string[] | null = null;
  #tail = '';

  constructor(server: ScriptedServer, socket: Socket, number: number) {
    this.#server = server;
    this.socket = socket;
    this.number = number;
    socket.setEncoding('latin1');
    socket.on('data', text => this.#read(text as unknown as string));
    socket.on('end', () => socket.end());
    socket.on('error', () => undefined); // `close` follows
    socket.on('close', () => {
      this.closed = true;
      server.changed();
    });
    this.#move('greeting', '');
  }

  /** The verbs of the commands, in order. */
  get verbs(): string {
    return this.commands.map(command => command.split(' ', 1)[0]).join(' ');
  }

  do(move: Move): void {
    const { raw = '', say, and } = typeof move === 'string' ? { say: move } : move;
    const text = raw + (say === undefined ? '' : `${say}\r\n`);
    const finish = () => {
      if (and === 'reset') this.socket.resetAndDestroy();
    };
    if (text !== '') this.socket.write(text, 'latin1', finish);
    else finish();
    if (and === 'close') this.socket.end();
    if (and === 'close' || and === 'reset') this.#over = true;
    if (and === 'deaf') this.socket.pause();
  }

  #read(text: string): void {
    this.#input += text;
    while (this.#input !== '' && !this.#over) {
      if (this.#pieces !== null) {
        if (!this.#readMessage(this.#pieces)) break;
        continue;
      }
      const end = this.#input.indexOf('\r\n');
      if (end < 0) break;
      const line = this.#input.slice(0, end);
      this.#input = this.#input.slice(end + 2);
      this.#obey(line);
    }
    this.#server.changed();
  }

  /** True when the message has ended. */
  #readMessage(pieces: string[]): boolean {
    const seen = this.#tail + this.#input;
    const end = seen.indexOf(endOfData);
    const used = end < 0 ? this.#input.length : end + endOfData.length - this.#tail.length;
    pieces.push(this.#input.slice(0, used));
    this.pending += used;
    this.#tail = seen.slice(-4);
    this.#input = this.#input.slice(used);
    if (end < 0) {
      this.#move('data', '');
      return false;
    }
    this.messages.push(pieces.join('').slice(0, -3));
    this.#pieces = null;
    this.pending = 0;
    this.#move('message', '');
    return true;
  }

  #obey(line: string): void {
    this.commands.push(line);
    const verb = line.split(' ', 1)[0] ?? '';
    const stages: readonly string[] = ['EHLO', 'XFORWARD', 'MAIL', 'RCPT', 'DATA', 'QUIT'];
    if (this.#input !== '') this.ranAhead = true;
    this.#move(stages.includes(verb) ? (verb as Stage) : 'other', line);
  }

  #move(stage: Stage, line: string): void {
    const move = this.#server.script(stage, this, line) ?? this.#usual(stage);
    const said = typeof move === 'string' ? move : (move.say ?? move.raw ?? '');
    if (stage === 'DATA' && said.startsWith('354')) {
      this.#pieces = [];
      this.#tail = '\r\n';
    }
    this.do(move);
  }

  #usual(stage: Stage): Move {
    const usual: Record<Stage, Move> = {
      greeting: '220 sink.example ESMTP',
      EHLO: ['sink.example', ...this.#server.extensions]
        .map((line, index, all) => `250${index === all.length - 1 ? ' ' : '-'}${line}`)
        .join('\r\n'),
      XFORWARD: '250 2.0.0 Ok',
      MAIL: '250 2.1.0 Ok',
      RCPT: '250 2.1.5 Ok',
      DATA: '354 End data with <CR><LF>.<CR><LF>',
      data: {},
      message: `250 2.0.0 Ok: queued as ${this.number}.${this.messages.length}`,
      QUIT: { say: '221 2.0.0 Bye', and: 'close' },
      other: '502 5.5.2 Error: command not recognized',
    };
    return usual[stage];
  }
}

export class ScriptedServer {
  readonly peers: Peer[] = [];
  script: Script;
  extensions: readonly string[];
  #server: Server;
  #watchers = new Set<() => void>();

  constructor(script: Script, extensions: readonly string[]) {
    this.script = script;
    this.extensions = extensions;
    this.#server = createServer({ noDelay: true, allowHalfOpen: true }, socket => {
      this.peers.push(new Peer(this, socket, this.peers.length));
      this.changed();
    });
  }

  async listen(): Promise<void> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve));
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Messages of all connections, in the order of the connections. */
  get messages(): string[] {
    return this.peers.flatMap(({ messages }) => messages);
  }

  get open(): number {
    return this.peers.filter(({ closed }) => !closed).length;
  }

  peer(number: number): Peer {
    const peer = this.peers[number];
    if (peer === undefined) throw new Error(`there is no connection ${number}`);
    return peer;
  }

  /** Resolves when `condition` holds; it is looked at after every event on a connection. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = startTimer(() => {
        this.#watchers.delete(look);
        reject(new Error(`not in ${patience} ms: ${condition}`));
      }, patience);
      const look = () => {
        if (!condition()) return;
        stopTimer(timer);
        this.#watchers.delete(look);
        resolve();
      };
      this.#watchers.add(look);
      look();
    });
  }

  changed(): void {
    for (const look of this.#watchers) look();
  }

  /** Resolves when the client has let go of every connection; rejects when it does not. */
  async close(): Promise<void> {
    this.#server.close();
    // A deaf server would never learn that the client is gone.
    for (const { socket } of this.peers) socket.resume();
    try {
      await this.until(() => this.open === 0);
    } finally {
      for (const { socket } of this.peers) socket.destroy();
    }
  }
}
