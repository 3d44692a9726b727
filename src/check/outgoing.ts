/** The verdict on a message that a user of this relay sends. Pure: envelope and evidence in, verdict out. */
import { sameAddress } from '../message/address.ts';
import type { Envelope } from '../message/envelope.ts';
import { authorOf } from '../message/from.ts';
import type { Evidence } from '../message/scanner.ts';
import { isSecurejoinRequest, whyUnencrypted } from './encryption.ts';
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
  const unencrypted = whyUnencrypted(evidence, 'outgoing');
  const grounds = unencrypted === null ? 'encrypted' : isSecurejoinRequest(evidence) ? 'securejoin' : null;
  const encrypted = grounds !== null;
  const author = authorOf(evidence.header);
  if (author === null) return { encrypted, outcome: { refused: { reason: 'no usable From' } } };
  if (!sameAddress(author, envelope.from.address)) {
    return { encrypted, outcome: { refused: { reason: 'From is not the sender', author } } };
  }
  if (grounds !== null) return { encrypted, outcome: { accepted: grounds } };
  if (isExempt(envelope, evidence, passthrough)) return { encrypted, outcome: { accepted: 'exempt' } };
  const detail =
    unencrypted === null ? '' : [unencrypted.reason, unencrypted.detail].filter(text => text !== '').join(': ');
  return { encrypted, outcome: { refused: { reason: 'unencrypted', detail } } };
}
