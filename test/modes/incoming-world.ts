// The incoming mode in a world that does as it is told: clocks, keys, mailboxes and a next hop.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { Mail, Reinjector, ReinjectResult } from '../../src/deliver/reinject.ts';
import type { Recipient } from '../../src/message/envelope.ts';
import { MessageScanner } from '../../src/message/scanner.ts';
import { DkimKeys } from '../../src/modes/dkim-keys.ts';
import { Incoming } from '../../src/modes/incoming.ts';
import { readSettings } from '../../src/settings/settings.ts';
import type { TxtAnswer } from '../../src/system/dns.ts';
import type { Mailboxes, Presence } from '../../src/system/mailboxes.ts';
import { RejectedMail } from '../../src/system/rejected-mail.ts';
import { SpoolStore } from '../../src/system/spool.ts';
import { describeReply, reply } from '../../src/wire/reply.ts';
import { author, me, sealedBy, vic } from '../loopback/incoming-mail.ts';
import { recordedLog } from '../system/recorded-log.ts';

const directory = mkdtempSync(join(tmpdir(), 'filtermail-incoming-'));
after(() => rmSync(directory, { recursive: true }));

/** The domain whose key every look-up brings, unless told otherwise. */
export const two = author('two.test');
export const good = sealedBy(two);
export const unsigned = good.slice(good.search(/^From/m));

export const path = (address: string, ...parameters: [string, string][]): Recipient => ({
  address,
  parameters: new Map(parameters),
});

export type Sent = Partial<{ from: Recipient; recipients: readonly Recipient[]; deadline: number; gone: AbortSignal }>;

let made = 0;

export class World {
  /** Milliseconds since 1970. */
  wall = 1_800_000_000_000;
  readonly logged: string[] = [];
  readonly delivered: Mail[] = [];
  result: ReinjectResult = { answer: reply(250, '0.0', 'Ok: queued as 42'), failure: null };
  /** Of DISABLED files, by address. */
  readonly markers = new Map<string, Presence>();
  lookup: (name: string) => Promise<TxtAnswer> = () => Promise.resolve({ records: [[two.record]] });
  readonly rejectedDirectory = join(directory, `rejected${++made}`);

  mode(env: Record<string, string> = {}, reinjector?: Reinjector): Incoming {
    const { settings } = readSettings('[params]\nmail_domain = one.test\n', env);
    assert.ok(settings);
    return new Incoming(
      settings,
      {
        wallClock: () => this.wall,
        log: recordedLog(line => void this.logged.push(line)),
        mailboxes: this.#mailboxes(),
        keys: new DkimKeys(
          name => this.lookup(name),
          () => 0,
        ),
        rejected: new RejectedMail(this.rejectedDirectory),
        reinjector: reinjector ?? this.#obedient(),
      },
      'SMTP',
    );
  }

  /** The names of the messages that were kept. */
  kept(): string[] {
    return readdirSync(join(this.rejectedDirectory, 'dkim-verify'));
  }

  #mailboxes(): Mailboxes {
    return {
      disabled: address => this.markers.get(address) ?? 'absent',
      enforcesEncryption: address => address === vic,
    };
  }

  #obedient(): Reinjector {
    const deliver = (mail: Mail) => {
      this.delivered.push(mail);
      return Promise.resolve(this.result);
    };
    return { deliver } as unknown as Reinjector;
  }
}

/** The reply on one line. */
export async function send(mode: Incoming, text = good, change: Sent = {}): Promise<string> {
  const { from = path(me), recipients = [path(vic)], deadline = 1234, gone = new AbortController().signal } = change;
  const scanner = new MessageScanner(header => mode.digests(header));
  scanner.feed(text);
  const content = new SpoolStore(directory).open();
  content.append(Buffer.from(text, 'latin1'));
  await content.seal(text.length);
  const envelope = { from, recipients, xforward: [{ name: 'ADDR', value: '192.0.2.1' }] };
  try {
    return describeReply(await mode.message({ envelope, evidence: scanner.end(), content, deadline, gone }));
  } finally {
    content.discard();
  }
}
