/**
 * Marker files in users' mailbox directories. One synchronous `stat` a file: it takes under a microsecond when cached, an
 * asynchronous one 33.
 */
import { lstatSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { plainMailbox } from '../message/address.ts';
import { causeOf, codeOf, messageOf } from './errors.ts';

export type Presence = 'present' | 'absent' | { unknown: string };

export interface Mailboxes {
  /** Whether the mailbox that the address names holds a file `DISABLED`; `absent` for an address that is not plain or not local. */
  disabled(address: string): Presence;
  /**
   * Whether nobody may send readable mail to the address. Only a plain local address can be without enforcement, and only when its file
   * `enforceE2EEincoming` is certainly absent.
   */
  enforcesEncryption(address: string): boolean;
}

const quietly = { throwIfNoEntry: false } as const;

/** `directory` holds one directory a mailbox, named by the address in lower case; `localDomains` in lower case. */
export function openMailboxes(directory: string, localDomains: readonly string[]): Mailboxes {
  return {
    disabled(address) {
      const mailbox = plainMailbox(address, localDomains);
      if (mailbox === null) return 'absent';
      try {
        if (statSync(join(directory, mailbox, 'DISABLED'), quietly) !== undefined) return 'present';
        // Node keeps quiet about ENOTDIR as well.
        const home = statSync(join(directory, mailbox), quietly);
        return home === undefined || home.isDirectory() ? 'absent' : { unknown: 'the mailbox is not a directory' };
      } catch (error) {
        return { unknown: messageOf(error) };
      }
    },
    enforcesEncryption(address) {
      const mailbox = plainMailbox(address, localDomains);
      if (mailbox === null) return true;
      try {
        lstatSync(join(directory, mailbox, 'enforceE2EEincoming'));
        return true;
      } catch (error) {
        return codeOf(error) !== 'ENOENT' || mailboxesTrouble(directory) !== null;
      }
    },
  };
}

/** Why mailboxes cannot be looked at, in words for the log; null when all is well. */
export function mailboxesTrouble(directory: string): string | null {
  try {
    return statSync(directory).isDirectory() ? null : 'it is not a directory';
  } catch (error) {
    return causeOf(error);
  }
}
