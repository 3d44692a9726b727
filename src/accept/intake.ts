/** Takes in one message: every octet goes to the spool, its text to the scanner, until something makes the message unusable. */
import type { Envelope } from '../message/envelope.ts';
import { type Evidence, MessageScanner } from '../message/scanner.ts';
import { quoted } from '../message/text.ts';
import type { Spool } from '../system/spool.ts';
import { type Reply, reply } from '../wire/reply.ts';
import type { DataFault } from '../wire/session.ts';

/** Why a message is refused without being judged. */
export type Defect = Readonly<{ reply: Reply; detail: string }>;

const defects = {
  broken: { reply: reply(550, '6.0', 'Bare CR, bare LF or NUL in the message'), detail: 'bare CR, bare LF or NUL' },
  oversize: { reply: reply(552, '3.4', 'Message exceeds maximum size'), detail: 'over the size limit' },
  'header too large': {
    reply: reply(552, '3.4', 'Message header too large'),
    detail: 'header over 256 KiB or 1000 fields',
  },
  'malformed header': { reply: reply(550, '6.0', 'Malformed message header'), detail: 'malformed header line' },
} as const satisfies Record<string, Defect>;

export class Intake {
  readonly envelope: Envelope;
  readonly spool: Spool;
  readonly #scanner = new MessageScanner();
  #fault: DataFault | null = null;

  constructor(envelope: Envelope, spool: Spool) {
    this.envelope = envelope;
    this.spool = spool;
  }

  take(wire: Buffer, text: string, fault: DataFault | null): void {
    if (fault !== null && this.#fault === null) {
      this.#fault = fault;
      this.spool.discard();
    }
    if (this.#fault !== null) return;
    this.#scanner.feed(text);
    this.spool.append(wire);
  }

  /** Ends the message, whose wire form has that many octets. */
  async end(fault: DataFault | null, wireOctets: number): Promise<{ evidence: Evidence } | { defect: Defect }> {
    if (fault !== null) return { defect: defects[fault] };
    const evidence = this.#scanner.end();
    if (evidence.defect !== null) return { defect: defects[evidence.defect] };
    await this.spool.seal(wireOctets);
    const { failed } = this.spool;
    if (failed === null) return { evidence };
    return { defect: { reply: reply(452, '3.1', 'Insufficient system storage'), detail: `spool: ${quoted(failed)}` } };
  }
}
