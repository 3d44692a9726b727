/** What every entrance hands to a mode: one message, complete, with what is known of it. */
import type { Envelope, Recipient, ReversePath } from '../message/envelope.ts';
import type { Header } from '../message/header.ts';
import type { DigestWish, Evidence } from '../message/scanner.ts';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import type { Spool, SpoolStore } from '../system/spool.ts';
import type { Reply } from '../wire/reply.ts';

/** A message in good form. */
export type Transaction = Readonly<{
  envelope: Envelope;
  evidence: Evidence;
  /** The wire form as received: dot-escaped, ending in CRLF, without the final dot line. Discarded by the entrance afterwards. */
  content: Spool;
  /** Milliseconds of the monotonic clock: what is not delivered by then shall not be, because the client stops waiting soon after. */
  deadline: number;
  /** Aborted when the client has gone: nobody will hear the answer. */
  gone: AbortSignal;
}>;

/** Why a message is refused without being judged. */
export type Defect = Readonly<{ reply: Reply; detail: string }>;

/** Over LMTP: what each recipient hears, in their order, each as soon as it is known. */
export type RecipientReplies = readonly Promise<Reply>[];

/** A mode's decisions. Null takes the sender or recipient. */
export interface Reception<Answer = Reply> {
  sender(path: ReversePath): Reply | null;
  recipient(path: Recipient): Reply | null;
  digests: DigestWish;
  message(transaction: Transaction): Promise<Answer>;
  /** Told of a message that is refused for its form; the header is empty where it was not read. */
  unusable(envelope: Envelope, header: Header, defect: Defect): void;
  /** Told that a transaction is over, however it ended, where a reception serves a single connection. */
  end?(): void;
}

/** What all entrances of a mode share. */
export type Entrance<Answer = Reply> = Readonly<{
  /** What log lines begin with: `Outgoing`, `Incoming`, `Transport`. */
  label: string;
  reception: Reception<Answer>;
  store: SpoolStore;
  log: Log;
  clock: Clock;
}>;
