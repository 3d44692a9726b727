/**
 * Outgoing mail: what users of this relay send. Postfix's submission service hands every message here before it queues it; what may
 * leave goes back to Postfix's reinjection service.
 */
import { listenSmtp } from '../accept/smtp-server.ts';
import type { Defect, Reception, Transaction } from '../accept/transaction.ts';
import { judgeOutgoing, type OutgoingRefusal } from '../check/outgoing.ts';
import { RateLimiter } from '../check/rate.ts';
import type { Reinjector } from '../deliver/reinject.ts';
import { foldCase, isDotStringAddress } from '../message/address.ts';
import type { Envelope, ReversePath } from '../message/envelope.ts';
import { quoted } from '../message/text.ts';
import type { Settings } from '../settings/settings.ts';
import { type Clock, monotonicClock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import { type Mailboxes, openMailboxes } from '../system/mailboxes.ts';
import { SpoolStore } from '../system/spool.ts';
import { version } from '../version.ts';
import { bareReply, describeReply, type Reply, reply } from '../wire/reply.ts';
import { DisabledMailboxes } from './disabled.ts';
import { invalidFrom, nothingToDeliver, refuseUnencrypted } from './refusals.ts';
import { openReinjector, reinject } from './reinjection.ts';
import { type Running, stopGrace, warnOfSpool } from './running.ts';

export type OutgoingSystem = Readonly<{ clock: Clock; log: Log; mailboxes: Mailboxes; reinjector: Reinjector }>;

export class Outgoing implements Reception {
  readonly #settings: Settings;
  readonly #system: OutgoingSystem;
  readonly #rate: RateLimiter;
  readonly #disabled: DisabledMailboxes;

  constructor(settings: Settings, system: OutgoingSystem) {
    this.#settings = settings;
    this.#system = system;
    this.#rate = new RateLimiter(settings.sendPerMinute, settings.sendBurstSize);
    this.#disabled = new DisabledMailboxes(system.mailboxes, system.log, 'Outgoing');
  }

  sender({ address }: ReversePath): Reply | null {
    const { clock, log } = this.#system;
    if (!isDotStringAddress(address)) {
      log.warn(`Outgoing: refused sender ${quoted(address)}: not a Dot-string address`);
      return reply(500, '1.7', `Invalid from address <${address}>`);
    }
    const wait = this.#rate.admit(foldCase(address), clock());
    if (wait === 0) return null;
    const seconds = Math.ceil(wait / 1000);
    log.warn(`Outgoing: refused sender ${quoted(address)}: too much mail, next in ${seconds} s`);
    return bareReply(450, `4.7.1: Too much mail from <${address}>, retry in ${seconds} s`);
  }

  recipient(): null {
    return null;
  }

  digests(): [] {
    return [];
  }

  async message({ envelope, evidence, content, deadline, gone }: Transaction): Promise<Reply> {
    const { log, reinjector } = this.#system;
    const { passthroughSenders: senders, passthroughRecipients: recipients } = this.#settings;
    const { encrypted, outcome } = judgeOutgoing(envelope, evidence, { senders, recipients });
    log.info(`Outgoing: Filtering ${encrypted ? 'encrypted' : 'unencrypted'} mail.`);
    const sender = quoted(envelope.from.address);
    if ('refused' in outcome) return this.#refuse(envelope, outcome.refused);
    const enabled = this.#withoutDisabled(envelope);
    if (enabled === null) return nothingToDeliver;
    const mail = { envelope: enabled, content, deadline, gone };
    return await reinject(reinjector, mail, log, `Outgoing: ${outcome.accepted} mail from ${sender}`);
  }

  unusable({ from }: Envelope, _header: unknown, { reply, detail }: Defect): void {
    const { log } = this.#system;
    log.info('Outgoing: Filtering unencrypted mail.');
    log.warn(`Outgoing: refused message from ${quoted(from.address)}: ${describeReply(reply)} (${detail})`);
  }

  #refuse({ from }: Envelope, refusal: OutgoingRefusal): Reply {
    const { log } = this.#system;
    const sender = quoted(from.address);
    switch (refusal.reason) {
      case 'no usable From':
        log.warn(`Outgoing: refused mail from ${sender}: no From field with exactly one address`);
        return invalidFrom;
      case 'From is not the sender':
        log.warn(`Outgoing: refused mail from ${sender}: From is not the sender`);
        log.trace(`Outgoing: From is ${quoted(refusal.author)}`);
        return reply(500, '7.1', `Invalid FROM <${refusal.author}> for <${from.address}>`);
      case 'unencrypted':
        return refuseUnencrypted(log, 'Outgoing', from.address, refusal.detail);
    }
  }

  /** The envelope without disabled recipients; null when nothing is left to deliver. */
  #withoutDisabled(envelope: Envelope): Envelope | null {
    const { address } = envelope.from;
    if (!this.#disabled.has(address)) return this.#disabled.takeOut(envelope, address);
    this.#system.log.warn(`Outgoing: dropped mail from ${quoted(address)}: the sender is DISABLED`);
    return null;
  }
}

/** Binds the port and serves until stopped. Rejects when the start fails. */
export async function startOutgoing(settings: Settings, log: Log): Promise<Running> {
  const clock = monotonicClock;
  const reinjector = await openReinjector(settings, settings.reinjectPort, clock);
  const mailboxes = openMailboxes(settings.mailboxesDir, settings.addressDomains);
  const store = new SpoolStore(settings.spoolDir);
  const listener = await listenSmtp(settings.host, settings.smtpPort, {
    protocol: 'SMTP',
    name: settings.serverName,
    maxMessageSize: settings.maxMessageSize,
    label: 'Outgoing',
    reception: new Outgoing(settings, { clock, log, mailboxes, reinjector }),
    store,
    log,
    clock,
  });
  log.info(`Outgoing: entering serving loop (filtermail ${version})`);
  if (settings.passthroughSenders.length + settings.passthroughRecipients.length > 0) {
    log.warn('Outgoing: unencrypted mail may leave: passthrough_senders or passthrough_recipients is set');
  }
  warnOfSpool(settings, log, 'Outgoing');
  return {
    async stop() {
      await listener.stop(stopGrace);
      reinjector.close();
    },
  };
}
