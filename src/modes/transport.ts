/**
 * Transport: what leaves this relay. Postfix hands it over by LMTP, one transaction for any recipients; each domain among them is a
 * delivery of its own, by HTTPS or SMTP, and each recipient has an answer of its own.
 */
import { setFlagsFromString } from 'node:v8';
import { internalError } from '../accept/intake.ts';
import { listenLmtp } from '../accept/smtp-server.ts';
import type { Defect, Reception, RecipientReplies, Transaction } from '../accept/transaction.ts';
import { Courier } from '../deliver/courier.ts';
import type { Turn } from '../deliver/destination.ts';
import { Destinations, type Places } from '../deliver/destinations.ts';
import { HttpsCarrier } from '../deliver/https-carrier.ts';
import { MtaSts } from '../deliver/mta-sts.ts';
import { publishedPolicies } from '../deliver/mta-sts-source.ts';
import { describeFailure, type Outcome } from '../deliver/outcome.ts';
import { TlsClient } from '../deliver/secure.ts';
import { SmtpCarrier } from '../deliver/smtp-carrier.ts';
import { foldCase, splitAddress } from '../message/address.ts';
import type { Envelope, Recipient } from '../message/envelope.ts';
import { quoted } from '../message/text.ts';
import type { Settings } from '../settings/settings.ts';
import { trustAuthorities } from '../system/authorities.ts';
import { type Clock, monotonicClock } from '../system/clock.ts';
import { txtLookup } from '../system/dns.ts';
import { mailDns } from '../system/dns-cache.ts';
import { stackOf } from '../system/errors.ts';
import type { Log } from '../system/log.ts';
import { SpoolStore } from '../system/spool.ts';
import { version } from '../version.ts';
import { describeReply, type Reply, reply } from '../wire/reply.ts';
import { type Running, stopGrace, warnOfSpool } from './running.ts';

export type TransportSystem = Readonly<{ clock: Clock; log: Log; destinations: Destinations; courier: Courier }>;

const noDomain = reply(550, '1.3', 'Bad destination address');
const sweepInterval = 1000;
/**
 * Octets of messages in memory. Less than in the other modes: several deliveries read a message, so its memory cannot be given back on the
 * way, and a file is read from the page cache.
 */
const memoryBudget = 8 * 1024 * 1024;

/** Serves one LMTP connection. */
export class Transport implements Reception<RecipientReplies> {
  readonly #system: TransportSystem;
  readonly #places: Places;

  constructor(system: TransportSystem) {
    this.#system = system;
    this.#places = system.destinations.begin();
  }

  sender(): null {
    return null;
  }

  recipient({ address }: Recipient): Reply | null {
    const domain = splitAddress(address)?.domain;
    const refusal = domain === undefined ? noDomain : this.#places.take(domain);
    if (refusal !== null)
      this.#system.log.info(`Transport: refused recipient ${quoted(address)}: ${quoted(describeReply(refusal), 600)}`);
    return refusal;
  }

  digests(): [] {
    return [];
  }

  async message(transaction: Transaction): Promise<RecipientReplies> {
    const { recipients } = transaction.envelope;
    const groups = Map.groupBy(recipients, ({ address }) => foldCase(splitAddress(address)?.domain ?? ''));
    const replies = new Map<Recipient, Promise<Reply>>();
    for (const [domain, group] of groups) {
      const outcomes = this.#deliver(domain, { ...transaction.envelope, recipients: group }, transaction);
      for (const [index, recipient] of group.entries()) {
        replies.set(
          recipient,
          outcomes.then(all => all[index] ?? internalError),
        );
      }
    }
    return recipients.map(recipient => replies.get(recipient) ?? Promise.resolve(internalError));
  }

  unusable({ from }: Envelope, _header: unknown, { reply, detail }: Defect): void {
    this.#system.log.warn(
      `Transport: refused message from ${quoted(from.address)}: ${describeReply(reply)} (${detail})`,
    );
  }

  end(): void {
    this.#places.end();
  }

  /** Never rejects. */
  async #deliver(domain: string, envelope: Envelope, transaction: Transaction): Promise<readonly Reply[]> {
    const { log } = this.#system;
    const turn = await this.#places.turn(domain, transaction.gone);
    if ('code' in turn) {
      log.info(`Transport: deferred mail to ${quoted(domain)}: ${describeReply(turn)}`);
      return envelope.recipients.map(() => turn);
    }
    try {
      return await this.#deliverInTurn(turn, domain, envelope, transaction);
    } catch (error) {
      log.error(`Transport: unexpected failure in a delivery to ${quoted(domain)}: ${quoted(stackOf(error), 2000)}`);
      return envelope.recipients.map(() => internalError);
    } finally {
      turn.end('cancelled');
    }
  }

  async #deliverInTurn(
    turn: Turn,
    domain: string,
    envelope: Envelope,
    { content, deadline, gone }: Transaction,
  ): Promise<readonly Reply[]> {
    const { clock, courier } = this.#system;
    const began = clock();
    const { outcomes, dead, alive, notes } = await courier.deliver(
      { domain, envelope, content, deadline, gone },
      turn.alive,
    );
    // Without a sign of life or death nothing is known: our own lack of descriptors, a client that has gone.
    turn.end(dead !== null ? { dead } : alive ? 'answered' : 'cancelled');
    for (const note of notes) this.#system.log.info(`Transport: ${note}`);
    this.#tell(domain, envelope, outcomes, content.octets, clock() - began);
    return outcomes.map(outcome => outcome.reply);
  }

  /** One line for the recipients that share an outcome. */
  #tell(domain: string, { recipients }: Envelope, outcomes: readonly Outcome[], octets: number, took: number): void {
    const { log } = this.#system;
    const figures = `${octets} octets, ${(took / 1000).toFixed(2)} s`;
    for (const [text, group] of Map.groupBy(recipients.entries(), ([index]) => this.#describe(outcomes[index]))) {
      const [[index] = [0]] = group;
      const line = `Transport: ${text} (${group.length} to ${quoted(domain)}, ${figures})`;
      if (outcomes[index]?.kind === 'sent') log.info(line);
      else log.warn(line);
    }
  }

  #describe(outcome: Outcome | undefined): string {
    if (outcome === undefined) return 'lost';
    if (outcome.kind === 'sent') {
      const { carrier, host, address, tls } = outcome.way;
      return `sent by ${carrier} to ${host}[${address}], ${tls}`;
    }
    const why = outcome.failures.map(failure => quoted(`${failure.carrier}: ${describeFailure(failure)}`, 600));
    return `${outcome.kind}: ${quoted(describeReply(outcome.reply), 600)}${why.length > 0 ? ` after ${why.join(', ')}` : ''}`;
  }
}

/** Binds the port and serves until stopped. Rejects when the start fails. */
export async function startTransport(settings: Settings, log: Log): Promise<Running> {
  // TLS connections leave much behind, which without this is collected only when there are hundreds of megabytes of it.
  setFlagsFromString('--heap-growing-percent=50');
  const clock = monotonicClock;
  const random = Math.random;
  const { context, source, count } = trustAuthorities();
  const tls = new TlsClient(context);
  const dns = mailDns(settings.dnsServers, clock);
  const courier = new Courier({
    dns,
    sts: new MtaSts({
      source: publishedPolicies({ txt: txtLookup(settings.dnsServers), ...dns }),
      clock,
      report: line => log.info(`Transport: ${line}`),
    }),
    https: new HttpsCarrier(settings.remoteHttpsPort, tls, clock),
    smtp: new SmtpCarrier({ port: settings.remoteSmtpPort, name: settings.serverName, tls, clock }),
    clock,
    random,
    ourNames: [settings.serverName],
  });
  const destinations = new Destinations({ connections: settings.transportConnections, clock, random });
  const sweeping = setInterval(() => destinations.sweep(), sweepInterval);
  const system = { clock, log, destinations, courier };
  const listener = await listenLmtp(
    settings.host,
    settings.lmtpPortTransport,
    {
      name: settings.serverName,
      maxMessageSize: settings.maxMessageSize,
      label: 'Transport',
      store: new SpoolStore(settings.spoolDir, memoryBudget),
      log,
      clock,
    },
    () => new Transport(system),
  );
  log.info(`Transport: entering serving loop (filtermail ${version})`);
  log.debug(`Transport: ${count} certificate authorities from ${source}`);
  warnOfSpool(settings, log, 'Transport');
  return {
    async stop() {
      await listener.stop(stopGrace);
      clearInterval(sweeping);
      courier.close();
    },
  };
}
