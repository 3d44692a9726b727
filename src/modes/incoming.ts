/**
 * Incoming mail: what other servers send to users of this relay, over SMTP by way of Postfix or over HTTP (`/mxdeliv`). What is
 * end-to-end encrypted, or one of the few allowed kinds, and signed by the domain in From goes back to Postfix's reinjection service.
 */
import { listenHttp } from '../accept/http-server.ts';
import { listenSmtp } from '../accept/smtp-server.ts';
import type { Defect, Reception, Transaction } from '../accept/transaction.ts';
import { digestsFor, dkimCandidates } from '../check/dkim/candidates.ts';
import { type IncomingContent, incomingContent, isAuthorKept, mayArrive } from '../check/incoming.ts';
import type { Reinjector } from '../deliver/reinject.ts';
import { foldCase, isDomain, sameAddress, splitAddress, staysLocal } from '../message/address.ts';
import type { Canonicalization } from '../message/body-digest.ts';
import type { Envelope, Recipient } from '../message/envelope.ts';
import { authorOf } from '../message/from.ts';
import type { Header } from '../message/header.ts';
import type { Evidence } from '../message/scanner.ts';
import { quoted, quotedText } from '../message/text.ts';
import type { Settings } from '../settings/settings.ts';
import { unlessAborted } from '../system/cancel.ts';
import { type Clock, monotonicClock, wallClock } from '../system/clock.ts';
import { txtLookup } from '../system/dns.ts';
import type { Log } from '../system/log.ts';
import { type Mailboxes, mailboxesTrouble, openMailboxes } from '../system/mailboxes.ts';
import { RejectedMail } from '../system/rejected-mail.ts';
import { type Spool, SpoolStore } from '../system/spool.ts';
import { version } from '../version.ts';
import { describeReply, type Reply, reply } from '../wire/reply.ts';
import { DisabledMailboxes } from './disabled.ts';
import { DkimKeys } from './dkim-keys.ts';
import { type UnverifiedOrigin, verifyOrigin } from './origin.ts';
import { invalidFrom, nothingToDeliver, refuseUnencrypted } from './refusals.ts';
import { openReinjector, reinject } from './reinjection.ts';
import { type Running, stopGrace, warnOfDirectory, warnOfSpool } from './running.ts';

export type IncomingSystem = Readonly<{
  /** Milliseconds since 1970. */
  wallClock: Clock;
  log: Log;
  mailboxes: Mailboxes;
  keys: DkimKeys;
  rejected: RejectedMail;
  reinjector: Reinjector;
}>;

/** How mail came in: of Postfix's recipients we know that it relays for them, of the web server's nobody knows. */
type Carrier = 'SMTP' | 'HTTP';

const relayDenied = reply(550, '7.1', 'Relay access denied');
const keyTrouble = reply(451, '7.5', 'The DKIM key cannot be looked up now, try again later');

export class Incoming implements Reception {
  readonly #skipDkim: boolean;
  readonly #localDomains: readonly string[];
  readonly #carrier: Carrier;
  readonly #system: IncomingSystem;
  readonly #disabled: DisabledMailboxes;

  constructor({ skipDkim, addressDomains }: Settings, system: IncomingSystem, carrier: Carrier) {
    this.#skipDkim = skipDkim;
    this.#localDomains = addressDomains;
    this.#carrier = carrier;
    this.#system = system;
    this.#disabled = new DisabledMailboxes(system.mailboxes, system.log, 'Incoming');
  }

  sender(): null {
    return null;
  }

  /** Postfix takes mail from us for anybody, so without this whoever can post could send to everybody. */
  recipient({ address }: Recipient): Reply | null {
    return this.#carrier === 'SMTP' || staysLocal(address, this.#localDomains) ? null : relayDenied;
  }

  digests(header: Header): readonly Canonicalization[] {
    const domain = this.#domainToVerify(authorOf(header));
    return domain === null ? [] : digestsFor(dkimCandidates(header, domain));
  }

  async message({ envelope, evidence, content, deadline, gone }: Transaction): Promise<Reply> {
    const { log, mailboxes, reinjector } = this.#system;
    const what = incomingContent(evidence);
    log.info(`Incoming: Filtering ${describe(what)}`);
    const { author } = what;
    if (author === null) {
      log.warn('Incoming: refused mail: no From field with exactly one address');
      return invalidFrom;
    }
    if (!isAuthorKept(author, envelope, evidence)) {
      log.warn(`Incoming: refused mail from ${quoted(author)}: Postfix would put another address into its From field`);
      return invalidFrom;
    }
    const enabled = this.#disabled.takeOut(envelope, author);
    if (enabled === null) return nothingToDeliver;
    if (!mayArrive(what, enabled.recipients, address => mailboxes.enforcesEncryption(address))) {
      return refuseUnencrypted(log, 'Incoming', author, what.detail);
    }
    const refusal = await this.#checkOrigin(author, evidence, content, gone);
    if (refusal !== null) return refusal;
    const mail = { envelope: forReinjection(enabled, author), content, deadline, gone };
    return await reinject(reinjector, mail, log, `Incoming: ${what.kind} mail from ${quoted(author)}`);
  }

  unusable(_envelope: Envelope, header: Header, { reply, detail }: Defect): void {
    const { log } = this.#system;
    log.info('Incoming: Filtering unencrypted mail.');
    const author = authorOf(header);
    const from = author === null ? '' : ` from ${quoted(author)}`;
    log.warn(`Incoming: refused message${from}: ${describeReply(reply)} (${detail})`);
  }

  /** The From domain that must have signed, ASCII lower case; null where none has to. */
  #domainToVerify(author: string | null): string | null {
    if (author === null || this.#skipDkim) return null;
    const domain = foldCase(splitAddress(author)?.domain ?? '');
    // Relays without DNS have no keys to publish.
    return domain.startsWith('[') && isDomain(domain) ? null : domain;
  }

  async #checkOrigin(author: string, evidence: Evidence, content: Spool, gone: AbortSignal): Promise<Reply | null> {
    const domain = this.#domainToVerify(author);
    if (domain === null) return null;
    const { log, keys, wallClock } = this.#system;
    const origin = await unlessAborted(verifyOrigin(evidence, domain, keys, wallClock() / 1000), gone);
    if (origin === null) {
      // Nobody hears the answer: a message that goes on waiting for DNS would only hold memory.
      log.warn(`Incoming: mail from ${quoted(author)} was not reinjected: the client has gone`);
      return keyTrouble;
    }
    if ('verified' in origin) return null;
    if ('refused' in origin) return await this.#refuseOrigin(author, origin, content);
    log.warn(`Incoming: deferred mail from ${quoted(author)}: ${origin.temporary.join('; ')}`);
    return keyTrouble;
  }

  async #refuseOrigin(author: string, { refused, reasons }: UnverifiedOrigin, content: Spool): Promise<Reply> {
    const { log, rejected, wallClock } = this.#system;
    const kept = await rejected.keep(content, wallClock());
    const where = 'path' in kept ? `kept as ${quotedText(kept.path)}` : `not kept: ${quotedText(kept.failure)}`;
    log.warn(`Incoming: refused mail from ${quoted(author)}: ${[refused, ...reasons, where].join('; ')}`);
    return reply(554, '7.1', refused);
  }
}

function describe({ kind, author }: IncomingContent): string {
  switch (kind) {
    case 'encrypted':
    case 'securejoin':
      return 'encrypted mail.';
    case 'mailer-daemon':
      return `mailer-daemon message from <${quoted(author ?? '')}>`;
    case 'unencrypted':
      return 'unencrypted mail.';
  }
}

/**
 * Forwarders rewrite MAIL FROM, so another one than From is no fault; but bounces would go to somebody whom nothing vouches for: nobody
 * gets them.
 */
function forReinjection(envelope: Envelope, author: string): Envelope {
  if (sameAddress(envelope.from.address, author)) return envelope;
  return { ...envelope, from: { ...envelope.from, address: '' } };
}

/** Binds both ports and serves until stopped. Rejects when the start fails. */
export async function startIncoming(settings: Settings, log: Log): Promise<Running> {
  const clock = monotonicClock;
  const { host, mailboxesDir, maxMessageSize, rejectedDir } = settings;
  const rejected = new RejectedMail(rejectedDir);
  const reinjector = await openReinjector(settings, settings.reinjectPortIncoming, clock);
  const system = {
    wallClock,
    log,
    mailboxes: openMailboxes(mailboxesDir, settings.addressDomains),
    keys: new DkimKeys(txtLookup(settings.dnsServers), clock),
    rejected,
    reinjector,
  };
  const shared = { label: 'Incoming', store: new SpoolStore(settings.spoolDir), log, clock, maxMessageSize };
  const bySmtp = new Incoming(settings, system, 'SMTP');
  const byHttp = new Incoming(settings, system, 'HTTP');
  const { serverName: name, smtpPortIncoming, httpPortIncoming } = settings;
  const listeners = [
    await listenSmtp(host, smtpPortIncoming, { ...shared, reception: bySmtp, protocol: 'SMTP', name }, 1 / 2),
    await listenHttp(host, httpPortIncoming, { ...shared, reception: byHttp }, 1 / 2),
  ];
  log.info(`Incoming: entering serving loop (filtermail ${version})`);
  const rejectedTrouble = settings.skipDkim ? null : rejected.trouble();
  const mailboxes = mailboxesTrouble(mailboxesDir);
  warnOfDirectory(log, 'Incoming: every address enforces encryption', 'mailboxes_dir', mailboxesDir, mailboxes);
  warnOfDirectory(
    log,
    'Incoming: refused mail cannot be kept',
    'filtermail_rejected_dir',
    rejectedDir,
    rejectedTrouble,
  );
  warnOfSpool(settings, log, 'Incoming');
  return {
    async stop() {
      await Promise.all(listeners.map(listener => listener.stop(stopGrace)));
      reinjector.close();
    },
  };
}
