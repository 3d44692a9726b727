/**
 * Outgoing mail: what users of this relay send. Postfix's submission service hands every message here before it queues it; what may
 * leave goes back to Postfix's reinjection service.
 */
import { lookup } from 'node:dns/promises';
import { listen } from '../accept/smtp-server.ts';
import type { Reception, Transaction } from '../accept/transaction.ts';
import { judgeOutgoing, type OutgoingRefusal } from '../check/outgoing.ts';
import { RateLimiter } from '../check/rate.ts';
import { Reinjector } from '../deliver/reinject.ts';
import { foldCase, isDotStringAddress } from '../message/address.ts';
import type { Envelope, ReversePath } from '../message/envelope.ts';
import { quoted } from '../message/text.ts';
import type { Settings } from '../settings/settings.ts';
import { type Clock, monotonicClock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import { type Mailboxes, openMailboxes } from '../system/mailboxes.ts';
import { SpoolStore } from '../system/spool.ts';
import { spoolTrouble } from '../system/unlinked-file.ts';
import { bareReply, describeReply, type Reply, reply } from '../wire/reply.ts';
import { type Running, stopGrace } from './running.ts';

export type OutgoingSystem = Readonly<{ clock: Clock; log: Log; mailboxes: Mailboxes; reinjector: Reinjector }>;

/** Milliseconds from the last octet to our final dot. Postfix waits 100 s for the answer. */
const timeToDeliver = 90_000;

const nothingToDeliver = reply(250, '0.0', 'Ok');

export class Outgoing implements Reception {
  readonly #settings: Settings;
  readonly #system: OutgoingSystem;
  readonly #rate: RateLimiter;

  constructor(settings: Settings, system: OutgoingSystem) {
    this.#settings = settings;
    this.#system = system;
    this.#rate = new RateLimiter(settings.sendPerMinute, settings.sendBurstSize);
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

  async message({ envelope, evidence, content, receivedAt, gone }: Transaction): Promise<Reply> {
    const { log, reinjector } = this.#system;
    const { passthroughSenders: senders, passthroughRecipients: recipients } = this.#settings;
    const { encrypted, outcome } = judgeOutgoing(envelope, evidence, { senders, recipients });
    log.info(`Outgoing: Filtering ${encrypted ? 'encrypted' : 'unencrypted'} mail.`);
    const sender = quoted(envelope.from.address);
    if ('refused' in outcome) return this.#refuse(envelope, outcome.refused);
    const enabled = this.#withoutDisabled(envelope);
    if (enabled === null) return nothingToDeliver;
    const { answer, failure } = await reinjector.deliver({
      envelope: enabled,
      content,
      deadline: receivedAt + timeToDeliver,
      gone,
    });
    if (failure === null) log.debug(`Outgoing: ${outcome.accepted} mail from ${sender}: ${describeReply(answer)}`);
    else log.warn(`Outgoing: mail from ${sender} was not reinjected: ${quoted(failure, 1000)}`);
    return answer;
  }

  #refuse({ from }: Envelope, refusal: OutgoingRefusal): Reply {
    const { log } = this.#system;
    const sender = quoted(from.address);
    switch (refusal.reason) {
      case 'no usable From':
        log.warn(`Outgoing: refused mail from ${sender}: no From field with exactly one address`);
        return reply(500, '6.0', 'Invalid FROM header');
      case 'From is not the sender':
        log.warn(`Outgoing: refused mail from ${sender}: From is not the sender`);
        log.trace(`Outgoing: From is ${quoted(refusal.author)}`);
        return reply(500, '7.1', `Invalid FROM <${refusal.author}> for <${from.address}>`);
      case 'unencrypted':
        log.warn(`Rejected unencrypted mail from: ${sender}`);
        log.warn(`Outgoing: mail from ${sender} is not encrypted: ${quoted(refusal.detail)}`);
        return bareReply(523, 'Encryption Needed: Invalid Unencrypted Mail');
    }
  }

  /** The envelope without disabled recipients; null when nothing is left to deliver. */
  #withoutDisabled(envelope: Envelope): Envelope | null {
    const { log } = this.#system;
    const sender = quoted(envelope.from.address);
    if (this.#isDisabled(envelope.from.address)) {
      log.warn(`Outgoing: dropped mail from ${sender}: the sender is DISABLED`);
      return null;
    }
    const recipients = envelope.recipients.filter(({ address }) => {
      const disabled = this.#isDisabled(address);
      if (disabled) log.warn(`Outgoing: dropped recipient ${quoted(address)} of mail from ${sender}: DISABLED`);
      return !disabled;
    });
    return recipients.length === 0 ? null : { ...envelope, recipients };
  }

  #isDisabled(address: string): boolean {
    const presence = this.#system.mailboxes.look(address, 'DISABLED');
    if (typeof presence === 'object') {
      this.#system.log.warn(
        `Outgoing: cannot tell whether ${quoted(address)} is DISABLED: ${quoted(presence.unknown)}`,
      );
    }
    return presence === 'present';
  }
}

/** Binds the port and serves until stopped. Rejects when the start fails. */
export async function startOutgoing(settings: Settings, log: Log): Promise<Running> {
  const clock = monotonicClock;
  // Postfix on a relay often listens on 127.0.0.1 alone, while localhost means ::1 too.
  const { address } = await lookup(settings.postfixHost, { order: 'ipv4first' });
  const name = settings.host.includes(':') ? `[IPv6:${settings.host}]` : `[${settings.host}]`;
  const reinjector = new Reinjector({ address, port: settings.reinjectPort, name, clock });
  const mailboxes = openMailboxes(settings.mailboxesDir, settings.addressDomains);
  const store = new SpoolStore(settings.spoolDir);
  const listener = await listen(settings.host, settings.smtpPort, {
    protocol: 'SMTP',
    name: settings.serverName,
    maxMessageSize: settings.maxMessageSize,
    label: 'Outgoing',
    reception: new Outgoing(settings, { clock, log, mailboxes, reinjector }),
    store,
    log,
    clock,
  });
  log.info('Outgoing: entering serving loop');
  if (settings.passthroughSenders.length + settings.passthroughRecipients.length > 0) {
    log.warn('Outgoing: unencrypted mail may leave: passthrough_senders or passthrough_recipients is set');
  }
  const trouble = spoolTrouble(settings.spoolDir);
  if (trouble !== null)
    log.warn(`Outgoing: large mail may be refused: filtermail_spool_dir ${quoted(settings.spoolDir)}: ${trouble}`);
  return {
    async stop() {
      await listener.stop(stopGrace);
      reinjector.close();
    },
  };
}
