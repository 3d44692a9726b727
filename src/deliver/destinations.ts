/**
 * The destinations that mail has gone to of late, by domain (ASCII case folded), and Postfix's connections shared among them: so many
 * transactions may have mail left for a healthy destination, for any other its part of the connections that are left, so that mail for dead
 * ones never holds all. At most 500 are held; one that has been idle for a minute is forgotten, with it what was known of its health.
 */
import { foldCase } from '../message/address.ts';
import type { Clock } from '../system/clock.ts';
import type { Reply } from '../wire/reply.ts';
import { Destination, maxPlaces, type Place, type Turn, transportBusy } from './destination.ts';

export type DestinationsOptions = Readonly<{
  /** How many LMTP connections Postfix may open. */
  connections: number;
  clock: Clock;
  /** From 0 to 1, 1 excluded. */
  random: () => number;
}>;

/** The places of one LMTP connection's transaction, one a domain. */
export type Places = Readonly<{
  /** At RCPT: null when the transaction has a place at this domain now, or had one already; else the reply. */
  take: (domain: string) => Reply | null;
  /**
   * Waits for the turn of the delivery to a domain with a place: a reply when the destination is dead, the wait too long, the transaction
   * at its end or `signal` aborted. A turn may come in the very moment of the abort; it must be ended all the same. One at a time for a
   * place.
   */
  turn: (domain: string, signal: AbortSignal) => Promise<Turn | Reply>;
  /** Gives back the places that are left; turns that wait or run are their signal's affair. The next transaction may follow. */
  end: () => void;
}>;

const maxDestinations = 500;
const forgottenAfter = 60_000;
const leastPlaces = 4;

export class Destinations {
  readonly #options: DestinationsOptions;
  readonly #held = new Map<string, Destination>();
  #inProgress = 0;

  constructor(options: DestinationsOptions) {
    this.#options = options;
  }

  /** How many destinations are held. */
  get size(): number {
    return this.#held.size;
  }

  /** How many transactions have taken a place and are not at their end, though each place may be given back by now. */
  get inProgress(): number {
    return this.#inProgress;
  }

  begin(): Places {
    const taken = new Map<string, Place>();
    return {
      take: domain => this.#take(taken, foldCase(domain)),
      turn: async (domain, signal) => taken.get(foldCase(domain))?.turn(signal) ?? transportBusy,
      end: () => this.#giveBack(taken),
    };
  }

  /** Answers who has waited too long and forgets who has been idle for long enough; to be called every second or so. */
  sweep(): void {
    for (const [domain, destination] of this.#held) {
      destination.answerLongWaiting();
      if (destination.idleTime >= forgottenAfter) this.#held.delete(domain);
    }
  }

  #take(taken: Map<string, Place>, domain: string): Reply | null {
    if (taken.has(domain)) return null;
    const place = this.#find(domain)?.take(this.#share()) ?? transportBusy;
    if ('code' in place) return place;
    if (taken.size === 0) this.#inProgress++;
    taken.set(domain, place);
    return null;
  }

  #giveBack(taken: Map<string, Place>): void {
    if (taken.size === 0) return;
    this.#inProgress--;
    for (const place of taken.values()) place.giveBack();
    taken.clear();
  }

  /** An eighth of the connections that are left: how many places there are for a destination that is not known to be healthy. */
  #share(): number {
    const left = this.#options.connections - this.#inProgress;
    return Math.min(maxPlaces, Math.max(leastPlaces, Math.ceil(left / 8)));
  }

  /** Null when there is no room for another. */
  #find(domain: string): Destination | null {
    const known = this.#held.get(domain);
    if (known !== undefined && known.idleTime < forgottenAfter) return known;
    if (this.#held.size >= maxDestinations) this.#forgetLongestIdle();
    if (this.#held.size >= maxDestinations) return null;
    const fresh = new Destination(this.#options.clock, this.#options.random);
    this.#held.set(domain, fresh);
    return fresh;
  }

  #forgetLongestIdle(): void {
    let longest = 0;
    let found: string | null = null;
    for (const [domain, { idleTime }] of this.#held) {
      if (idleTime < longest) continue;
      longest = idleTime;
      found = domain;
    }
    if (found !== null) this.#held.delete(found);
  }
}
