/**
 * The client's side of an SMTP connection (RFC 5321, RFC 2920): commands out, replies in, message octets with backpressure. A
 * connection that breaks, speaks out of turn or is given up on is `lost` for good; nothing throws.
 */
import type { Socket } from 'node:net';
import type { Spool } from '../system/spool.ts';
import { type Extensions, parseExtensions } from '../wire/client-commands.ts';
import { describeReply, isPositive, type Reply } from '../wire/reply.ts';
import { ReplyReader } from '../wire/reply-reader.ts';

export type Lost = Readonly<{ lost: string }>;

const finalDot = Buffer.from('.\r\n');
const none: Extensions = new Map();

export class SmtpClient {
  extensions: Extensions = none;
  readonly #socket: Socket;
  readonly #reader = new ReplyReader();
  #replies: Reply[] = [];
  #lost: string | null = null;
  #waiting: ((answer: Reply | Lost) => void) | null = null;

  /** `socket` may still be connecting. */
  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', chunk => this.#received(chunk.toString('latin1')));
    socket.on('error', error => this.abort(error.message));
    socket.on('end', () => this.abort('the server closed the connection'));
    socket.on('close', () => this.abort('the connection was closed'));
  }

  /** No fault so far and nothing said out of turn: fit for another transaction. */
  get usable(): boolean {
    return this.#lost === null && this.#replies.length === 0 && !this.#reader.midReply;
  }

  /** Gives the connection up at once; whoever waits gets `reason`. */
  abort(reason: string): void {
    if (this.#lost !== null) return;
    this.#lost = reason;
    this.#socket.destroy();
    this.#wake();
  }

  /** Says goodbye and hangs up without waiting for the answer. */
  quit(): void {
    if (this.#lost !== null) return;
    this.#lost = 'the connection was ended';
    this.#socket.end('QUIT\r\n');
    this.#socket.resume();
    // A server that does not hang up in return keeps no descriptor of ours.
    const timer = setTimeout(() => this.#socket.destroy(), 1000);
    this.#socket.once('close', () => clearTimeout(timer));
    this.#wake();
  }

  /** The next reply, in the order of the commands. */
  reply(): Promise<Reply | Lost> {
    const ready = this.#ready();
    if (ready !== null) return Promise.resolve(ready);
    return new Promise(resolve => (this.#waiting = resolve));
  }

  /** Waits for the greeting and says EHLO. Null when the server is ready for mail, else its refusal or why it was lost. */
  async greet(name: string): Promise<Reply | Lost | null> {
    const greeting = await this.reply();
    if ('lost' in greeting || greeting.code !== 220) return greeting;
    this.#write(`EHLO ${name}\r\n`);
    const hello = await this.reply();
    if ('lost' in hello || !isPositive(hello)) return hello;
    this.extensions = parseExtensions(hello);
    return null;
  }

  /**
   * Sends commands and returns their replies: all at once where the server pipelines, else one after the other until `stop` says so
   * of a reply; then fewer replies come back.
   */
  async exchange(commands: readonly string[], stop: (answer: Reply) => boolean): Promise<readonly Reply[] | Lost> {
    const pipelining = this.extensions.has('PIPELINING');
    if (pipelining) this.#write(commands.join(''));
    const replies: Reply[] = [];
    for (const command of commands) {
      if (!pipelining) this.#write(command);
      const answer = await this.reply();
      if ('lost' in answer) return answer;
      replies.push(answer);
      if (!pipelining && stop(answer)) break;
    }
    return replies;
  }

  /**
   * Sends the message and the final dot; null then. When the server speaks before that, the message cannot be delivered: a refusal is
   * returned, anything else loses the connection. `beforeDot` is called right before the dot goes out: from then on the message may
   * be delivered whatever happens.
   */
  async sendMessage(
    content: Spool,
    options: { release: boolean; beforeDot: () => void },
  ): Promise<Reply | Lost | null> {
    const small = content.small();
    if (small !== null) return this.#spoken() ?? this.#end([...small, finalDot], options.beforeDot);
    try {
      for await (const batch of content.read(options)) {
        await this.#written(batch);
        const spoken = this.#spoken();
        if (spoken !== null) return spoken;
      }
    } catch (error) {
      return this.#giveUp(`cannot read the spool: ${error instanceof Error ? error.message : error}`);
    }
    return this.#end([finalDot], options.beforeDot);
  }

  #end(buffers: readonly Buffer[], beforeDot: () => void): null {
    beforeDot();
    this.#writeTogether(buffers);
    return null;
  }

  /** What the server has said, or why it is lost, while nothing was to be said. */
  #spoken(): Reply | Lost | null {
    const early = this.#ready();
    if (early === null || 'lost' in early || early.code >= 400) return early;
    return this.#giveUp(`answer before the end of the message: ${describeReply(early)}`);
  }

  #giveUp(reason: string): Lost {
    this.abort(reason);
    return { lost: reason };
  }

  #received(text: string): void {
    this.#replies.push(...this.#reader.feed(text));
    if (this.#reader.fault !== null) this.abort(this.#reader.fault);
    this.#wake();
  }

  #ready(): Reply | Lost | null {
    return this.#replies.shift() ?? (this.#lost === null ? null : { lost: this.#lost });
  }

  #wake(): void {
    if (this.#waiting === null) return;
    const ready = this.#ready();
    if (ready === null) return;
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting(ready);
  }

  #write(text: string): void {
    if (this.#lost === null) this.#socket.write(text, 'latin1');
  }

  #writeTogether(buffers: readonly Buffer[]): void {
    if (this.#lost !== null) return;
    this.#socket.cork();
    for (const buffer of buffers) this.#socket.write(buffer);
    this.#socket.uncork();
  }

  /** Writes a batch and waits until the kernel has it, or the connection is lost. */
  #written(batch: readonly Buffer[]): Promise<void> {
    return new Promise(resolve => {
      if (this.#lost !== null) return resolve();
      this.#socket.cork();
      batch.forEach((buffer, index) => {
        this.#socket.write(buffer, index === batch.length - 1 ? () => resolve() : undefined);
      });
      this.#socket.uncork();
    });
  }
}
