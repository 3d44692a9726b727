/** Takes mailboxes that an admin has disabled (a file `DISABLED` in them) out of envelopes. */
import type { Envelope } from '../message/envelope.ts';
import { quoted } from '../message/text.ts';
import type { Log } from '../system/log.ts';
import type { Mailboxes } from '../system/mailboxes.ts';

export class DisabledMailboxes {
  readonly #mailboxes: Mailboxes;
  readonly #log: Log;
  readonly #label: string;

  constructor(mailboxes: Mailboxes, log: Log, label: string) {
    this.#mailboxes = mailboxes;
    this.#log = log;
    this.#label = label;
  }

  has(address: string): boolean {
    const presence = this.#mailboxes.disabled(address);
    if (typeof presence === 'object') {
      this.#log.warn(`${this.#label}: cannot tell whether ${quoted(address)} is DISABLED: ${quoted(presence.unknown)}`);
    }
    return presence === 'present';
  }

  /** The envelope without disabled recipients; null when no recipient is left. `author` is for the log. */
  takeOut(envelope: Envelope, author: string): Envelope | null {
    const recipients = envelope.recipients.filter(({ address }) => {
      const disabled = this.has(address);
      if (disabled) {
        this.#log.warn(`${this.#label}: dropped recipient ${quoted(address)} of mail from ${quoted(author)}: DISABLED`);
      }
      return !disabled;
    });
    return recipients.length === 0 ? null : { ...envelope, recipients };
  }
}
