/**
 * Takes in one message: every octet goes to the spool, its text to the scanner, until something makes the message unusable. At its end
 * the mode judges it.
 */
import type { Envelope } from '../message/envelope.ts';
import { MessageScanner } from '../message/scanner.ts';
import { quoted } from '../message/text.ts';
import type { Spool } from '../system/spool.ts';
import type { DataFault } from '../wire/data-reader.ts';
import { headerTooLarge, messageTooLarge } from '../wire/limits.ts';
import { type Reply, reply } from '../wire/reply.ts';
import type { Defect, Entrance } from './transaction.ts';

const defects = {
  broken: { reply: reply(550, '6.0', 'Bare CR, bare LF or NUL in the message'), detail: 'bare CR, bare LF or NUL' },
  oversize: { reply: messageTooLarge, detail: 'over the size limit' },
  unterminated: {
    reply: reply(550, '6.0', 'The message has a line that is a single dot, or no CRLF at its end'),
    detail: 'unescaped final dot, or no CRLF at the end',
  },
  'header too large': {
    reply: headerTooLarge,
    detail: 'header over 256 KiB or 1000 fields',
  },
  'malformed header': { reply: reply(550, '6.0', 'Malformed message header'), detail: 'malformed header line' },
} as const satisfies Record<string, Defect>;

/** `unterminated`: the end of the message is told from outside, and it has one of its own or lacks its last CRLF. */
export type MessageFault = DataFault | 'unterminated';

/** The answer when a message was the cause of an exception. */
export const internalError = reply(451, '3.0', 'Internal error');

export type Ending = Readonly<{
  fault: MessageFault | null;
  /** Of the wire form. */
  wireOctets: number;
  /** Milliseconds from now until the client stops waiting. */
  patience: number;
  gone: AbortSignal;
}>;

export class Intake<Answer = Reply> {
  readonly #envelope: Envelope;
  readonly #entrance: Entrance<Answer>;
  readonly #spool: Spool;
  readonly #scanner: MessageScanner;
  #fault: MessageFault | null = null;

  constructor(envelope: Envelope, entrance: Entrance<Answer>) {
    this.#envelope = envelope;
    this.#entrance = entrance;
    this.#spool = entrance.store.open();
    this.#scanner = new MessageScanner(header => entrance.reception.digests(header));
  }

  take(wire: Buffer, text: string, fault: MessageFault | null): void {
    if (fault !== null && this.#fault === null) {
      this.#fault = fault;
      this.#spool.discard();
    }
    if (this.#fault !== null) return;
    this.#scanner.feed(text);
    this.#spool.append(wire);
  }

  /** The spool lags behind: give no more octets until `settled()`. */
  get full(): boolean {
    return this.#spool.full;
  }

  settled(): Promise<void> {
    return this.#spool.settled();
  }

  /** Ends the message; what the client hears, a single reply when the message is refused for its form. */
  async end({ fault, wireOctets, patience, gone }: Ending): Promise<Answer | Reply> {
    const { reception, clock } = this.#entrance;
    const deadline = clock() + patience;
    if (fault !== null) return this.#refuse(defects[fault]);
    const evidence = this.#scanner.end();
    if (evidence.defect !== null) return this.#refuse(defects[evidence.defect]);
    await this.#spool.seal(wireOctets);
    const { failed } = this.#spool;
    if (failed !== null) {
      return this.#refuse({
        reply: reply(452, '3.1', 'Insufficient system storage'),
        detail: `spool: ${quoted(failed)}`,
      });
    }
    return await reception.message({ envelope: this.#envelope, evidence, content: this.#spool, deadline, gone });
  }

  /** Gives everything back. May be called at any time, also twice. */
  discard(): void {
    this.#spool.discard();
  }

  #refuse(defect: Defect): Reply {
    this.#entrance.reception.unusable(this.#envelope, this.#scanner.header, defect);
    return defect.reply;
  }
}
