/** The verdict on what a message from elsewhere is, before its origin is verified. Pure: evidence in, verdict out. */
import { foldCase, sameAddress, splitAddress } from '../message/address.ts';
import type { Envelope, Recipient } from '../message/envelope.ts';
import { authorOf } from '../message/from.ts';
import { beginsLikeMailbox, onlyValue } from '../message/header.ts';
import type { Evidence } from '../message/scanner.ts';
import { describeUnencrypted, isSecurejoinRequest, whyUnencrypted } from './encryption.ts';

/** What a message is, whoever it is for. */
export type IncomingKind = 'encrypted' | 'securejoin' | 'mailer-daemon' | 'unencrypted';

export type IncomingContent = Readonly<{
  kind: IncomingKind;
  /** The address in From, not authenticated; null where there is not exactly one. */
  author: string | null;
  /** Why it is not encrypted; empty when it is. */
  detail: string;
}>;

export function incomingContent(evidence: Evidence): IncomingContent {
  const author = authorOf(evidence.header);
  const why = whyUnencrypted(evidence, 'incoming');
  if (why === null) return { kind: 'encrypted', author, detail: '' };
  const detail = describeUnencrypted(why);
  if (isSecurejoinRequest(evidence)) return { kind: 'securejoin', author, detail };
  return { kind: isMailerDaemonReport(evidence, author) ? 'mailer-daemon' : 'unencrypted', author, detail };
}

/** Whether the reader will see this author: Postfix would put the envelope sender in the place of some From fields. */
export function isAuthorKept(author: string, { from }: Envelope, { header }: Evidence): boolean {
  return !beginsLikeMailbox(header) || sameAddress(from.address, author);
}

/** Whether none of the recipients minds what everybody can read. */
export function mayArrive(
  { kind }: IncomingContent,
  recipients: readonly Recipient[],
  enforcesEncryption: (address: string) => boolean,
): boolean {
  return kind !== 'unencrypted' || !recipients.some(({ address }) => enforcesEncryption(address));
}

/** A report on the delivery of a message (RFC 3462, RFC 3834 5): what Delta Chat shows as "could not be delivered". */
function isMailerDaemonReport({ header, contentType }: Evidence, author: string | null): boolean {
  return (
    author !== null &&
    foldCase(splitAddress(author)?.localPart ?? '') === 'mailer-daemon' &&
    (onlyValue(header, 'auto-submitted') ?? '') !== '' &&
    contentType?.type === 'multipart' &&
    contentType.subtype === 'report'
  );
}
