/**
 * The client's side of an SMTP connection (RFC 5321, RFC 2920): commands out, replies in, message octets with backpressure. A
 * connection that breaks, speaks out of turn or is given up on is `lost` for good; nothing throws.
 */
import type { Socket } from 'node:net';
import { messageOf } from '../system/errors.ts';
import type { Spool } from '../system/spool.ts';
import { type Extensions, parseExtensions } from '../wire/client-commands.ts';
import { describeReply, isPositive, type Reply } from '../wire/reply.ts';
import { ReplyReader } from '../wire/reply-reader.ts';

export type Lost = Readonly<{ lost: string }>;

/** Milliseconds that the server has for an answer, and for that to the final dot; without them the owner sees to it. */
export type ReplyTimes = Readonly<{ each: number; last: number }>;

const finalDot = Buffer.from('.\r\n');
const noLimit: ReplyTimes = { each: 0, last: 0 };
const none: Extensions = new Map();

export class SmtpClient {
  extensions: Extensions = none;
  #socket: Socket;
  readonly #times: ReplyTimes;
  readonly #reader = new ReplyReader();
  #replies: Reply[] = [];
  /** Replies that the server owes us, the greeting first. */
  #due = 1;
  #sending = false;
  #lost: string | null = null;
  #waiting: ((answer: Reply | Lost) => void) | null = null;
  #timer: NodeJS.Timeout | undefined;
  #writing: (() => void) | null = null;

  /** `socket` may still be connecting. */
  constructor(socket: Socket, times = noLimit) {
    this.#socket = socket;
    this.#times = times;
    this.#listen();
  }

  #listen(): void {
    this.#socket.on('data', this.#received).on('error', this.#failed).on('end', this.#hungUp).on('close', this.#hungUp);
  }

  readonly #failed = (error: Error) => void this.abort(error.message);
  readonly #hungUp = () => void this.abort('the server closed the connection');

  /** It has said something in the protocol. */
  spoke = false;

  /** Not lost: fit for another transaction, when the last one is over. */
  get usable(): boolean {
    return this.#lost === null;
  }

  /** Gives the connection up at once; whoever waits gets the reason, and a second one counts for nothing. */
  abort(reason: string): Lost {
    if (this.#lost !== null) return { lost: this.#lost };
    this.#lost = reason;
    this.#socket.destroy();
    this.#wake();
    return { lost: reason };
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
  reply(time = this.#times.each): Promise<Reply | Lost> {
    const ready = this.#ready();
    if (ready !== null) return Promise.resolve(ready);
    if (time > 0) this.#timer = setTimeout(() => this.abort(`no answer within ${time / 1000} s`), time);
    return new Promise(resolve => (this.#waiting = resolve));
  }

  /** Waits for the greeting and says EHLO. Null when the server is ready for mail, else its refusal or why it was lost. */
  async greet(name: string): Promise<Reply | Lost | null> {
    return (await this.greeting()) ?? (await this.hello(name));
  }

  /** Null when the server is willing, else its refusal or why it was lost. */
  async greeting(): Promise<Reply | Lost | null> {
    const greeting = await this.reply();
    if ('lost' in greeting || greeting.code >= 400) return greeting;
    return greeting.code === 220 ? null : this.abort(`unexpected greeting: ${describeReply(greeting)}`);
  }

  /** EHLO. Null when it was accepted; then `extensions` has what was announced. */
  async hello(name: string): Promise<Reply | Lost | null> {
    this.#write(`EHLO ${name}\r\n`);
    const hello = await this.reply();
    if ('lost' in hello || hello.code >= 400) return hello;
    if (!isPositive(hello)) return this.abort(`unexpected answer to EHLO: ${describeReply(hello)}`);
    this.extensions = parseExtensions(hello);
    return null;
  }

  /**
   * STARTTLS (RFC 3207). `secure` makes a TLS connection of the plain one. Null when that is done: what was announced before counts no
   * more, so EHLO has to follow. Octets that came in plain text behind the answer lose the connection: somebody put them there.
   */
  async startTls(secure: (plain: Socket) => Promise<Socket | Lost>): Promise<Reply | Lost | null> {
    this.#write('STARTTLS\r\n');
    const answer = await this.reply();
    if ('lost' in answer || answer.code >= 400) return answer;
    if (answer.code !== 220) return this.abort(`unexpected answer to STARTTLS: ${describeReply(answer)}`);
    if (this.#reader.midReply) return this.abort('plain text behind the answer to STARTTLS');
    const plain = this.#socket;
    plain.off('data', this.#received).off('error', this.#failed).off('end', this.#hungUp).off('close', this.#hungUp);
    this.extensions = none;
    const secured = await secure(plain);
    if ('lost' in secured) return this.abort(secured.lost);
    this.#socket = secured;
    if (this.#lost !== null) secured.destroy();
    this.#listen();
    return null;
  }

  /**
   * Sends commands and returns their replies, as many as came: all at once where the server pipelines, else one after the other until
   * `stop` says so of a reply.
   */
  async exchange(
    commands: readonly string[],
    stop: (answer: Reply, index: number) => boolean,
  ): Promise<{ replies: readonly Reply[]; lost: string | null }> {
    const pipelining = this.extensions.has('PIPELINING');
    if (pipelining) this.#write(commands.join(''), commands.length);
    const replies: Reply[] = [];
    for (const command of commands) {
      if (!pipelining) this.#write(command);
      const answer = await this.reply();
      if ('lost' in answer) return { replies, lost: answer.lost };
      replies.push(answer);
      if (!pipelining && stop(answer, replies.length - 1)) break;
    }
    return { replies, lost: null };
  }

  /**
   * Sends the message and the final dot; null then. When the server speaks before that, the message cannot be delivered: a refusal is
   * returned, anything else loses the connection. `mayEnd` is asked right before the dot goes out: from then on the message may be
   * delivered whatever happens.
   */
  async sendMessage(
    content: Spool,
    options: { release: boolean; mayEnd: () => boolean },
  ): Promise<Reply | Lost | null> {
    this.#sending = true;
    const small = content.small();
    if (small !== null) return this.#spoken() ?? this.#end([...small, finalDot], options.mayEnd);
    try {
      for await (const batch of content.read(options)) {
        await this.#written(batch);
        const spoken = this.#spoken();
        if (spoken !== null) return spoken;
      }
    } catch (error) {
      return this.abort(`cannot read the spool: ${messageOf(error)}`);
    }
    return this.#end([finalDot], options.mayEnd);
  }

  /** Ends a message before it began: for a server that takes one although it took no recipient (RFC 2920 3.1). */
  async sendNothing(): Promise<void> {
    this.#write('.\r\n');
    await this.reply();
  }

  /** The answer to the final dot. */
  async finalReply(): Promise<Reply | Lost> {
    const answer = await this.reply(this.#times.last);
    if ('lost' in answer || isPositive(answer) || answer.code >= 400) return answer;
    return this.abort(`unexpected answer: ${describeReply(answer)}`);
  }

  #end(buffers: readonly Buffer[], mayEnd: () => boolean): Lost | null {
    if (!mayEnd()) return this.abort('the deadline passed');
    this.#sending = false;
    this.#due++;
    this.#writeTogether(buffers);
    return null;
  }

  /** What the server has said, or why it is lost, while nothing was to be said. */
  #spoken(): Reply | Lost | null {
    const early = this.#ready();
    if (early === null || 'lost' in early) return early;
    const lost = this.abort(`answer before the end of the message: ${describeReply(early)}`);
    return early.code >= 400 ? early : lost;
  }

  readonly #received = (chunk: Buffer) => {
    const answers = this.#reader.feed(chunk.toString('latin1'));
    // One reply more is heard while a message is on its way: a server may refuse it early.
    const sending = this.#sending || answers[this.#due - 1]?.code === 354;
    const heard = Math.max(this.#due, 0) + (sending ? 1 : 0);
    this.#due -= answers.length;
    const unasked = this.#due - (this.#reader.midReply ? 1 : 0) + (sending ? 1 : 0) < 0;
    // The rest was said before there was a question: it must not be taken for the answer to the next one.
    this.spoke ||= answers.length > 0;
    this.#replies.push(...answers.slice(0, heard));
    if (this.#reader.fault !== null) this.abort(this.#reader.fault);
    else if (unasked) this.abort('the server speaks out of turn');
    this.#wake();
  };

  #ready(): Reply | Lost | null {
    return this.#replies.shift() ?? (this.#lost === null ? null : { lost: this.#lost });
  }

  #wake(): void {
    if (this.#lost !== null || this.#replies.length > 0) this.#writing?.();
    if (this.#waiting === null) return;
    const ready = this.#ready();
    if (ready === null) return;
    const waiting = this.#waiting;
    clearTimeout(this.#timer);
    this.#waiting = null;
    waiting(ready);
  }

  #write(text: string, commands = 1): void {
    this.#due += commands;
    if (this.#lost === null) this.#socket.write(text, 'latin1');
  }

  /** Writes a batch and waits until the kernel has it, the server speaks, or the connection is lost. */
  #written(batch: readonly Buffer[]): Promise<void> {
    return new Promise(resolve => {
      if (this.#lost !== null || this.#replies.length > 0) return resolve();
      this.#writing = resolve;
      this.#writeTogether(batch, () => resolve());
    });
  }

  #writeTogether(buffers: readonly Buffer[], done?: () => void): void {
    if (this.#lost !== null) return;
    this.#socket.cork();
    for (const [index, buffer] of buffers.entries()) {
      this.#socket.write(buffer, index === buffers.length - 1 ? done : undefined);
    }
    this.#socket.uncork();
  }
}
