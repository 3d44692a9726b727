/**
 * Brings a message to one destination: along its route host by host, to each by HTTPS and then by SMTP, until a host has answered the
 * transaction. What failed before is kept for the log.
 */

import type { Envelope } from '../message/envelope.ts';
import { unlessAborted } from '../system/cancel.ts';
import type { Clock } from '../system/clock.ts';
import type { MailDns } from '../system/dns-cache.ts';
import type { Spool } from '../system/spool.ts';
import { fitsHeader } from '../wire/mxdeliv.ts';
import { type Reply, reply } from '../wire/reply.ts';
import { Attempt } from './attempt.ts';
import { findAddresses } from './host-addresses.ts';
import type { HttpsCarrier } from './https-carrier.ts';
import type { MtaSts } from './mta-sts.ts';
import {
  describeFailure,
  type Failure,
  isOurs,
  type Outcome,
  outcomeOf,
  refused,
  sent,
  unreachable,
} from './outcome.ts';
import { findRoute, type Route } from './route.ts';
import type { Host, SmtpCarrier } from './smtp-carrier.ts';

export type CourierOptions = Readonly<{
  dns: MailDns;
  https: HttpsCarrier;
  smtp: SmtpCarrier;
  sts: MtaSts;
  clock: Clock;
  /** From 0 to 1, 1 excluded. */
  random: () => number;
  /** Host names that are us, lower case. */
  ourNames: readonly string[];
}>;

export type Consignment = Readonly<{
  domain: string;
  /** All its recipients are of this domain. */
  envelope: Envelope;
  content: Spool;
  /** Milliseconds of the clock: no final dot goes out later. */
  deadline: number;
  /** Aborted when nobody wants the delivery any more. */
  gone: AbortSignal;
}>;

export type Delivered = Readonly<{
  /** One a recipient, in their order. */
  outcomes: readonly Outcome[];
  /** Why nothing of the destination gave a sign of life; null when something did, or when the delivery was given up. */
  dead: string | null;
  /** Something of it answered, or DNS said something for good. */
  alive: boolean;
  /** For the log: what a policy did. */
  notes: readonly string[];
}>;

/** Past the deadline, how long the answer to a final dot is worth waiting for: Postfix hangs up 600 s after its own dot. */
const answerGrace = 315_000;

const tooLate = reply(451, '4.1', 'No host was reached in time');

export class Courier {
  readonly #options: CourierOptions;

  constructor(options: CourierOptions) {
    this.#options = options;
  }

  /** `alive` is called when something of the destination has said something. */
  async deliver(mail: Consignment, alive: () => void): Promise<Delivered> {
    const delivery = new Delivery(mail, this.#options, alive);
    return await delivery.run();
  }

  close(): void {
    this.#options.https.close();
    this.#options.smtp.close();
  }
}

/** One delivery under way. */
class Delivery {
  readonly #mail: Consignment;
  readonly #options: CourierOptions;
  readonly #failures: Failure[] = [];
  readonly #notes: string[] = [];
  readonly #tellLife: () => void;
  #lives = false;

  constructor(mail: Consignment, options: CourierOptions, alive: () => void) {
    this.#mail = mail;
    this.#options = options;
    this.#tellLife = alive;
  }

  async run(): Promise<Delivered> {
    const { domain, gone } = this.#mail;
    const route = await unlessAborted(findRoute(domain, { ...this.#options, mx: this.#options.dns.mx }), gone);
    if (route === null) return this.#all(refused(tooLate));
    if ('reply' in route) {
      // Whatever DNS says for good is no sign of death.
      this.#lives = !route.dead;
      return this.#all(refused(route.reply), route.cause);
    }
    const { anyCertificate, plainAllowed } = route;
    const allowed = await this.#allowedHosts(route);
    if ('reply' in allowed) {
      this.#lives = true;
      return this.#all(refused(allowed.reply), allowed.cause);
    }
    let missing = 0;
    for (const name of allowed.hosts) {
      if (this.#isOver()) return this.#all(this.#unreached());
      const found = await unlessAborted(findAddresses(name, this.#options.dns), gone);
      if (found === null) return this.#all(this.#unreached());
      if ('none' in found) missing++;
      if (!('addresses' in found)) {
        this.#fail({
          carrier: 'SMTP',
          host: name,
          address: '',
          phase: 'DNS',
          cause: 'none' in found ? found.none : found.trouble,
        });
        continue;
      }
      const outcomes = await this.#tryHost({ name, addresses: found.addresses, anyCertificate, plainAllowed });
      if (outcomes !== null) return { outcomes, dead: null, alive: this.#lives, notes: this.#notes };
    }
    if (missing === route.hosts.length) {
      this.#lives = true;
      return this.#all(refused(reply(550, '4.4', `${domain}: none of its hosts has an address`), this.#failures));
    }
    return this.#all(unreachable(domain, this.#failures));
  }

  /** Without those that the policy of the domain forbids (RFC 8461). */
  async #allowedHosts({ name, hosts }: Route): Promise<Pick<Route, 'hosts'> | { reply: Reply; cause: string }> {
    if (name === null) return { hosts };
    const allowed = await this.#options.sts.allowed(name, hosts, this.#mail.gone);
    if (!('reply' in allowed) && allowed.note !== null) this.#notes.push(allowed.note);
    return allowed;
  }

  /** Null when the host could not be used, so that the next one may be. */
  async #tryHost(host: Host): Promise<readonly Outcome[] | null> {
    const { https } = this.#options;
    const { envelope, content } = this.#mail;
    let isUseless = false;
    const fits = [envelope.from, ...envelope.recipients].every(({ address }) => fitsHeader(address));
    if (fits && https.suits(host, content.octets)) {
      const result = await this.#attempt(attempt => https.deliver(host, envelope, content, attempt));
      if (result.delivered || result.alive) this.#alive();
      const { address } = result;
      if (result.delivered) return this.#each(sent({ carrier: 'HTTPS', host: host.name, address, tls: result.tls }));
      isUseless = result.useless;
      this.#fail({ carrier: 'HTTPS', host: host.name, address, phase: result.phase, cause: result.cause });
      if (this.#isOver()) return this.#each(this.#unreached());
    }
    return await this.#trySmtp(host, isUseless);
  }

  async #trySmtp(host: Host, httpsIsUseless: boolean): Promise<readonly Outcome[] | null> {
    const { https, smtp } = this.#options;
    const { envelope, content } = this.#mail;
    const result = await this.#attempt(attempt => smtp.deliver(host, envelope, content, attempt, () => this.#alive()));
    if ('failures' in result) {
      https.skipNoMore(host);
      for (const { address, phase, cause } of result.failures)
        this.#fail({ carrier: 'SMTP', host: host.name, address, phase, cause });
      return null;
    }
    const { results, address, tls } = result;
    const way = { carrier: 'SMTP', host: host.name, address, tls } as const;
    const outcomes = results.map(each => outcomeOf(each, way, this.#failures));
    if (httpsIsUseless && outcomes.some(({ kind }) => kind === 'sent')) https.skip(host);
    return outcomes;
  }

  async #attempt<Result>(carry: (attempt: Attempt) => Promise<Result>): Promise<Result> {
    const { deadline, gone } = this.#mail;
    const attempt = new Attempt({ deadline, answerGrace, gone, clock: this.#options.clock });
    try {
      return await carry(attempt);
    } finally {
      attempt.end();
    }
  }

  #alive(): void {
    this.#lives = true;
    this.#tellLife();
  }

  #fail(failure: Failure): void {
    this.#failures.push(failure);
  }

  /** When the time is over, what failed until then is still the reason. */
  #unreached(): Outcome {
    return this.#failures.length > 0 ? unreachable(this.#mail.domain, this.#failures) : refused(tooLate);
  }

  #isOver(): boolean {
    const { deadline, gone } = this.#mail;
    return gone.aborted || this.#options.clock() >= deadline;
  }

  #each(outcome: Outcome): readonly Outcome[] {
    return this.#mail.envelope.recipients.map(() => outcome);
  }

  #all(outcome: Outcome, cause?: string): Delivered {
    const last = this.#failures.at(-1);
    const why = cause ?? (last === undefined ? null : describeFailure(last));
    const isKnown = this.#lives || this.#mail.gone.aborted || this.#failures.some(isOurs);
    const dead = isKnown ? null : why;
    return { outcomes: this.#each(outcome), dead, alive: this.#lives, notes: this.#notes };
  }
}
