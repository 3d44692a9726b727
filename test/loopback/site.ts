// A relay's files in a temporary directory, and the loopback ports that they name.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../peers/ports.ts';
import { undoAtEnd } from './tidy.ts';

export const domain = 'one.test';

export type Keys = Record<string, string | number>;

export class Site {
  readonly directory = mkdtempSync(join(tmpdir(), 'filtermail-loopback-'));
  readonly config = join(this.directory, 'chatmail.ini');
  readonly mailboxes = join(this.directory, 'mailboxes');
  readonly spool = join(this.directory, 'spool');
  readonly rejected = join(this.directory, 'rejected');
  /** Where the filter listens: outgoing, incoming by SMTP and by HTTP, transport. */
  readonly port: number;
  readonly incomingPort: number;
  readonly httpPort: number;
  readonly lmtpPort: number;

  private constructor([port, incomingPort, httpPort, lmtpPort]: readonly [number, number, number, number]) {
    this.port = port;
    this.incomingPort = incomingPort;
    this.httpPort = httpPort;
    this.lmtpPort = lmtpPort;
    undoAtEnd(() => this.#remove());
  }

  /** A site whose filters give mail to `nextPort`. */
  static async make(nextPort: number, keys: Keys = {}): Promise<Site> {
    const site = new Site([await freePort(), await freePort(), await freePort(), await freePort()]);
    mkdirSync(site.mailboxes);
    mkdirSync(site.spool);
    site.configure({
      mail_domain: domain,
      filtermail_smtp_port: site.port,
      filtermail_smtp_port_incoming: site.incomingPort,
      filtermail_http_port_incoming: site.httpPort,
      filtermail_lmtp_port_transport: site.lmtpPort,
      postfix_reinject_port: nextPort,
      postfix_reinject_port_incoming: nextPort,
      filtermail_rejected_dir: site.rejected,
      mailboxes_dir: site.mailboxes,
      filtermail_spool_dir: site.spool,
      // Only the tests of the limit want one.
      max_user_send_per_minute: 1_000_000,
      max_user_send_burst_size: 1_000_000,
      ...keys,
    });
    return site;
  }

  configure(keys: Keys): void {
    const lines = Object.entries(keys).map(([key, value]) => `${key} = ${value}\n`);
    writeFileSync(this.config, `[params]\n${lines.join('')}`);
  }

  disable(mailbox: string): void {
    this.#mark(mailbox, 'DISABLED');
  }

  enforceEncryption(mailbox: string): void {
    this.#mark(mailbox, 'enforceE2EEincoming');
  }

  #mark(mailbox: string, marker: string): void {
    mkdirSync(join(this.mailboxes, mailbox), { recursive: true });
    writeFileSync(join(this.mailboxes, mailbox, marker), '');
  }

  #remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
