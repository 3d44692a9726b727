/** What modes answer in the same case, and what they log with it. */
import { quoted } from '../message/text.ts';
import type { Log } from '../system/log.ts';
import { bareReply, type Reply, reply } from '../wire/reply.ts';

export const nothingToDeliver = reply(250, '0.0', 'Ok');
export const invalidFrom = reply(500, '6.0', 'Invalid FROM header');
const encryptionNeeded = bareReply(523, 'Encryption Needed: Invalid Unencrypted Mail');

/** `why` is for the log and has no text of the message. */
export function refuseUnencrypted(log: Log, label: string, author: string, why: string): Reply {
  log.warn(`Rejected unencrypted mail from: ${quoted(author)}`);
  log.warn(`${label}: mail from ${quoted(author)} is not encrypted: ${quoted(why)}`);
  return encryptionNeeded;
}
