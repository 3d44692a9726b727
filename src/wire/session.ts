/**
 * The server's side of an SMTP or LMTP dialogue (RFC 5321, RFC 2033) without sockets: octets in, events and reply text out.
 *
 * The owner feeds octets, takes events until there is none, answers those that ask for an answer, and writes `takeOutput()` to the
 * client. While an event waits for its answer nothing more is read, so pipelined commands (RFC 2920) are answered in order. However
 * the octets are cut, events and output are the same. Once `closed` is true nothing is read any more: write the output, then hang up.
 */
import type { Envelope, ForwardedAttribute, Recipient, ReversePath } from '../message/envelope.ts';
import { type Command, parseCommand, xforwardAttributes } from './command.ts';
import { type DataFault, DataReader } from './data-reader.ts';
import { maxRecipients, messageTooLarge, tooManyRecipients } from './limits.ts';
import { bareReply, formatReply, isPositive, type Reply, reply } from './reply.ts';

export type SessionEvent =
  /** MAIL: answer with one reply; the sender is taken when it is positive. */
  | { kind: 'sender'; path: ReversePath }
  /** RCPT: answer with one reply; the recipient is taken when it is positive. */
  | { kind: 'recipient'; path: Recipient }
  /** DATA with at least one recipient: answer with `startData` or a refusal. */
  | { kind: 'data'; envelope: Envelope }
  /**
   * A piece of the message as it came, the final dot line included, and its unescaped text without that line; the fault known so
   * far: after one, the text means nothing.
   */
  | { kind: 'octets'; wire: Buffer; text: string; fault: DataFault | null }
  /** The end of the message, whose wire form has `wireOctets` octets: answer with one reply, over LMTP with one a recipient. */
  | { kind: 'end'; fault: DataFault | null; wireOctets: number };

export type SessionOptions = Readonly<{
  protocol: 'SMTP' | 'LMTP';
  /** Our name in the greeting and in the answer to EHLO. */
  name: string;
  /** Octets after dot-unescaping. */
  maxMessageSize: number;
}>;

export const startData = bareReply(354, 'End data with <CR><LF>.<CR><LF>');

const maxLineOctets = 4096;
const maxForwarded = 100;
/** Replies to pipelined commands that may wait to be taken: a short command can have a long answer. */
const maxOutput = 16_384;

const ok = reply(250, '0.0', 'Ok');
const outOfSequence = reply(503, '5.1', 'Bad sequence of commands');

export class SmtpSession {
  closed = false;
  /** The client has said QUIT and nothing more. */
  quit = false;
  readonly #options: SessionOptions;
  #output: string;
  #input: Buffer = Buffer.alloc(0);
  #at = 0;
  #line = '';
  #awaiting: SessionEvent | null = null;
  #owed = 0;
  #greeted = false;
  #from: ReversePath | null = null;
  #recipients: Recipient[] = [];
  #xforward: ForwardedAttribute[] = [];
  #lastRefusal: Reply | null = null;
  #reader: DataReader | null = null;
  #ended: SessionEvent | null = null;

  constructor(options: SessionOptions) {
    this.#options = options;
    const protocol = options.protocol === 'SMTP' ? 'ESMTP' : 'LMTP';
    this.#output = formatReply(bareReply(220, `${options.name} filtermail ${protocol}`));
  }

  /** A transaction is under way: MAIL was accepted and its end is not answered. */
  get inTransaction(): boolean {
    return this.#from !== null;
  }

  /** How many replies the event that waits still needs. */
  get repliesOwed(): number {
    return this.#owed;
  }

  /** Gives octets to read; only when `next()` has returned null and no answer is awaited are all earlier ones used. */
  feed(chunk: Buffer): void {
    if (this.closed) return;
    this.#input = this.#at < this.#input.length ? Buffer.concat([this.#input.subarray(this.#at), chunk]) : chunk;
    this.#at = 0;
  }

  /** There is more to read, but the output must be taken first. */
  get outputFull(): boolean {
    return this.#output.length >= maxOutput && !this.closed && this.#awaiting === null && this.#at < this.#input.length;
  }

  /** The next event, or null when more octets or an answer are needed first, or the output is full. */
  next(): SessionEvent | null {
    while (!this.closed && this.#awaiting === null && this.#output.length < maxOutput) {
      let event = this.#ended;
      if (event !== null) this.#ended = null;
      else if (this.#at >= this.#input.length) return null;
      else event = this.#reader === null ? this.#readLine() : this.#readData(this.#reader);
      if (event === null) continue;
      if (event.kind !== 'octets') this.#awaiting = event;
      this.#owed = event.kind === 'end' && this.#options.protocol === 'LMTP' ? this.#recipients.length : 1;
      return event;
    }
    return null;
  }

  /** Answers the event that waits. LMTP's `end` takes one reply for each recipient in turn, everything else exactly one. */
  answer(answer: Reply): void {
    const event = this.#awaiting;
    if (event === null) throw new Error('no event waits for an answer');
    this.#reply(answer);
    if (--this.#owed > 0) return;
    this.#awaiting = null;
    if (event.kind === 'sender' && isPositive(answer)) this.#from = event.path;
    else if (event.kind === 'recipient' && isPositive(answer)) this.#recipients.push(event.path);
    else if (event.kind === 'recipient') this.#lastRefusal = answer;
    else if (event.kind === 'data' && answer.code === 354) this.#reader = new DataReader(this.#options.maxMessageSize);
    else if (event.kind === 'end') this.#reset();
  }

  /** Says goodbye with a reply of our own, at a moment when the client may get one. */
  close(farewell: Reply): void {
    this.#reply(farewell);
    this.closed = true;
  }

  /** The reply text since the last call, as octet string. */
  takeOutput(): string {
    const output = this.#output;
    this.#output = '';
    return output;
  }

  #reply(answer: Reply): void {
    this.#output += formatReply(answer);
  }

  #reset(): void {
    this.#from = null;
    this.#recipients = [];
    this.#xforward = [];
    this.#lastRefusal = null;
    this.#reader = null;
  }

  #readData(reader: DataReader): SessionEvent {
    const from = this.#at;
    const { text, end } = reader.feed(this.#input, from);
    this.#at = end < 0 ? this.#input.length : end;
    const { fault } = reader;
    if (end >= 0) this.#ended = { kind: 'end', fault, wireOctets: reader.wireOctets };
    return { kind: 'octets', wire: this.#input.subarray(from, this.#at), text, fault };
  }

  /** Reads one command line and carries it out; null when it needs no answer from the owner. */
  #readLine(): SessionEvent | null {
    const lf = this.#input.indexOf(0x0a, this.#at);
    const end = lf < 0 ? this.#input.length : lf + 1;
    const octets = this.#line.length + end - this.#at;
    if (octets > maxLineOctets || (lf < 0 && octets === maxLineOctets)) {
      this.close(reply(500, '5.6', 'Line too long'));
      return null;
    }
    this.#line += this.#input.toString('latin1', this.#at, end);
    this.#at = end;
    if (lf < 0) return null;
    const line = this.#line.slice(0, -2);
    const wellFormed = this.#line.endsWith('\r\n') && !line.includes('\r');
    this.#line = '';
    if (!wellFormed) {
      this.close(reply(500, '5.2', 'Bare <CR> or <LF> received'));
      return null;
    }
    const parsed = parseCommand(line);
    if ('command' in parsed) return this.#obey(parsed.command);
    if (/^rcpt[ \t]/i.test(line)) this.#lastRefusal = parsed.refusal;
    this.#reply(parsed.refusal);
    return null;
  }

  #obey(command: Command): SessionEvent | null {
    switch (command.verb) {
      case 'EHLO':
      case 'HELO':
      case 'LHLO':
        this.#hello(command.verb);
        return null;
      case 'MAIL':
        return this.#mail(command);
      case 'RCPT':
        return this.#rcpt(command);
      case 'DATA':
        return this.#data();
      case 'XFORWARD':
        if (!this.#greeted || this.#from !== null) this.#reply(outOfSequence);
        else if (this.#xforward.length + command.attributes.length > maxForwarded)
          this.#reply(reply(501, '5.4', 'Too many attributes'));
        else {
          this.#xforward.push(...command.attributes);
          this.#reply(ok);
        }
        return null;
      case 'RSET':
        this.#reset();
        this.#reply(ok);
        return null;
      case 'NOOP':
        this.#reply(ok);
        return null;
      case 'VRFY':
        this.#reply(reply(252, '0.0', 'Cannot VRFY user'));
        return null;
      case 'QUIT':
        this.quit = this.#at === this.#input.length;
        this.close(reply(221, '0.0', 'Bye'));
        return null;
    }
  }

  #hello(verb: 'EHLO' | 'HELO' | 'LHLO'): void {
    const { protocol, name, maxMessageSize } = this.#options;
    if ((verb === 'LHLO') !== (protocol === 'LMTP')) {
      this.#reply(reply(502, '5.1', 'Command not implemented'));
      return;
    }
    this.#reset();
    this.#greeted = true;
    if (verb === 'HELO') this.#reply(bareReply(250, name));
    else {
      const extensions = ['PIPELINING', '8BITMIME', 'SMTPUTF8', `SIZE ${maxMessageSize}`, 'ENHANCEDSTATUSCODES'];
      // Without DSN over LMTP Postfix itself answers NOTIFY=SUCCESS.
      if (verb === 'EHLO') extensions.push('DSN', `XFORWARD ${xforwardAttributes.join(' ')}`);
      this.#reply(bareReply(250, name, ...extensions));
    }
  }

  #mail(path: ReversePath): SessionEvent | null {
    const size = path.parameters.get('SIZE');
    if (!this.#greeted || this.#from !== null) this.#reply(outOfSequence);
    else if (size && Number(size) > this.#options.maxMessageSize) this.#reply(messageTooLarge);
    else return { kind: 'sender', path };
    return null;
  }

  #rcpt(path: Recipient): SessionEvent | null {
    if (this.#from === null) this.#reply(outOfSequence);
    else if (this.#recipients.length >= maxRecipients) {
      this.#lastRefusal = tooManyRecipients;
      this.#reply(this.#lastRefusal);
    } else return { kind: 'recipient', path };
    return null;
  }

  #data(): SessionEvent | null {
    if (this.#from !== null && this.#recipients.length > 0) {
      return { kind: 'data', envelope: { from: this.#from, recipients: this.#recipients, xforward: this.#xforward } };
    }
    this.#reply((this.#options.protocol === 'LMTP' && this.#lastRefusal) || outOfSequence);
    return null;
  }
}
