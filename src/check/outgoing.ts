/** The verdict on a message that a user of this relay sends. Pure: envelope and evidence in, verdict out. */
import { sameAddress } from '../message/address.ts';
import type { Envelope } from '../message/envelope.ts';
import { authorOf } from '../message/from.ts';
import type { Evidence } from '../message/scanner.ts';
import { describeUnencrypted, isSecurejoinRequest, whyUnencrypted } from './encryption.ts';
import { isExempt, type Passthrough } from './exemptions.ts';

/** Why a message may leave. */
export type OutgoingGrounds = 'encrypted' | 'securejoin' | 'exempt';

export type OutgoingRefusal =
  | { reason: 'no usable From' }
  | { reason: 'From is not the sender'; author: string }
  | { reason: 'unencrypted'; detail: string };

export type OutgoingVerdict = Readonly<{
  /** Encrypted or a securejoin request, whatever the verdict says. */
  encrypted: boolean;
  outcome: { accepted: OutgoingGrounds } | { refused: OutgoingRefusal };
}>;

export function judgeOutgoing(envelope: Envelope, evidence: Evidence, passthrough: Passthrough): OutgoingVerdict {
  const why = whyUnencrypted(evidence, 'outgoing');
  const encrypted = why === null || isSecurejoinRequest(evidence);
  const accepted = (grounds: OutgoingGrounds) => ({ encrypted, outcome: { accepted: grounds } });
  const refused = (refusal: OutgoingRefusal) => ({ encrypted, outcome: { refused: refusal } });
  const author = authorOf(evidence.header);
  if (author === null) return refused({ reason: 'no usable From' });
  if (!sameAddress(author, envelope.from.address)) return refused({ reason: 'From is not the sender', author });
  if (why === null) return accepted('encrypted');
  if (encrypted) return accepted('securejoin');
  if (isExempt(envelope, evidence, passthrough)) return accepted('exempt');
  return refused({ reason: 'unencrypted', detail: describeUnencrypted(why) });
}
