/** What every entrance hands to a mode: one message, complete and in good form, with what is known of it. */
import type { Envelope, Recipient, ReversePath } from '../message/envelope.ts';
import type { Evidence } from '../message/scanner.ts';
import type { Spool } from '../system/spool.ts';
import type { Reply } from '../wire/reply.ts';

export type Transaction = Readonly<{
  envelope: Envelope;
  evidence: Evidence;
  /** The wire form as received: dot-escaped, ending in CRLF, without the final dot line. Discarded by the entrance afterwards. */
  content: Spool;
  /** When the last octet came, in milliseconds of the monotonic clock. */
  receivedAt: number;
  /** Aborted when the client has gone: nobody will hear the answer. */
  gone: AbortSignal;
}>;

/** A mode's decisions. Null takes the sender or recipient. */
export interface Reception {
  sender(path: ReversePath): Reply | null;
  recipient(path: Recipient): Reply | null;
  message(transaction: Transaction): Promise<Reply>;
}
