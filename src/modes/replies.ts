/** What modes answer in the same case. */
import { bareReply, reply } from '../wire/reply.ts';

export const nothingToDeliver = reply(250, '0.0', 'Ok');
export const invalidFrom = reply(500, '6.0', 'Invalid FROM header');
export const encryptionNeeded = bareReply(523, 'Encryption Needed: Invalid Unencrypted Mail');
