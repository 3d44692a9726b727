/**
 * One destination: how many transactions may come to it, whose turn it is, and whether it is dead.
 *
 * - A transaction takes a place at RCPT, so that a slow or dead destination cannot hold all of Postfix's connections, and has it until its
 *   delivery's turn or itself ends. The delivery waits in order for one of four turns; somebody waits only while four run.
 * - A turn that ends dead closes the destination, unless the destination was closed or showed life since that turn began: what it found out
 *   is older than that. Whoever comes while it is closed, or waits then, is answered at once. After the closed time a single place is the
 *   probe, until its turn ends or it is given back without one; then the next who comes is. A probe never waits: the turn that closed is free.
 * - No timers: time is asked of the clock when something happens, and `answerLongWaiting` is called by whoever sweeps.
 */
import type { Clock } from '../system/clock.ts';
import { type Reply, reply } from '../wire/reply.ts';

/**
 * What came of a turn: the remote, or DNS for good, answered; nothing did, and why (foreign text); or the delivery was given up before either.
 */
export type TurnResult = 'answered' | 'cancelled' | Readonly<{ dead: string }>;

/** One of the deliveries that run at once; its owner ends it whatever happens. */
export type Turn = Readonly<{
  /** Tells that the remote has said something, no matter what. */
  alive: () => void;
  /** Gives the turn to the next; only the first call counts. */
  end: (result: TurnResult) => void;
}>;

/** What one transaction holds of a destination. */
export type Place = Readonly<{
  turn: (signal: AbortSignal) => Turn | Reply | Promise<Turn | Reply>;
  /** A turn that runs goes on; its end gives the place back as well. */
  giveBack: () => void;
}>;

type Waiter = Readonly<{ place: Place; since: number; answer: (result: Turn | Reply) => void }>;

/** Why and until when nobody shall try; `backoff` is the time in milliseconds before jitter. */
type Closure = Readonly<{ cause: string; nextTry: number; backoff: number }>;

export const maxPlaces = 30;
const maxTurns = 4;
const maxWait = 120_000;
/** A delivery faster than this makes a destination healthy for the time behind it. */
const fastDelivery = 10_000;
const healthLasts = 60_000;
const firstBackoff = 5000;
const maxBackoff = 300_000;
/** The part of the closed time that is random, so that 300 s are never exceeded. */
const jitter = 0.2;
const maxCauseOctets = 200;

export const transportBusy = reply(451, '3.2', 'Transport busy');

export class Destination {
  readonly #clock: Clock;
  readonly #random: () => number;
  #places = 0;
  #running = 0;
  /** In the order of arrival. */
  readonly #waiting = new Set<Waiter>();
  #healthyUntil = Number.NEGATIVE_INFINITY;
  /** When the last place or turn was given back. */
  #quietSince: number;
  /** Kept after its time until there is life. */
  #closure: Closure | null = null;
  #probe: Place | null = null;
  /** How often it was closed or showed life. */
  #news = 0;

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
    this.#quietSince = clock();
  }

  /** Milliseconds for which it has held no place, run nothing and not been closed; negative while it does. */
  get idleTime(): number {
    if (this.#places > 0 || this.#running > 0) return -1;
    return this.#clock() - Math.max(this.#quietSince, this.#closure?.nextTry ?? this.#quietSince);
  }

  /** Takes a place for one transaction. `share`: how many places it may have had while nothing shows that it is healthy. */
  take(share: number): Place | Reply {
    const now = this.#clock();
    const place: Place = {
      turn: signal => {
        entered = true;
        return this.#enter(place, signal);
      },
      giveBack: () => {
        if (!held) return;
        held = false;
        this.#places--;
        this.#quietSince = this.#clock();
        if (!entered) this.#handOn(place);
      },
    };
    let held = true;
    let entered = false;
    const closed = this.#closedTo(place, now);
    if (closed !== null) return closed;
    if (this.#places >= (now < this.#healthyUntil ? maxPlaces : share)) return transportBusy;
    if (this.#closure !== null) this.#probe = place;
    this.#places++;
    return place;
  }

  answerLongWaiting(): void {
    const now = this.#clock();
    for (const waiter of this.#waiting) {
      if (now - waiter.since < maxWait) return;
      waiter.answer(transportBusy);
    }
  }

  #closedTo(place: Place, now: number): Reply | null {
    if (this.#closure === null || this.#probe === place) return null;
    if (this.#probe === null && now >= this.#closure.nextTry) return null;
    return closedReply(this.#closure, now);
  }

  #enter(place: Place, signal: AbortSignal): Turn | Reply | Promise<Turn | Reply> {
    const now = this.#clock();
    const closed = this.#closedTo(place, now);
    if (closed !== null) return closed;
    if (signal.aborted) {
      this.#handOn(place);
      return transportBusy;
    }
    if (this.#closure !== null) this.#probe = place;
    if (this.#running < maxTurns) return this.#begin(place);
    return new Promise(resolve => {
      const answer = (result: Turn | Reply) => {
        this.#waiting.delete(waiter);
        signal.removeEventListener('abort', giveUp);
        resolve(result);
      };
      const waiter: Waiter = { place, since: now, answer };
      const giveUp = () => answer(transportBusy);
      this.#waiting.add(waiter);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  #begin(place: Place): Turn {
    this.#running++;
    const began = this.#clock();
    const news = this.#news;
    let ended = false;
    return {
      alive: () => {
        if (!ended) this.#open();
      },
      end: result => {
        if (ended) return;
        ended = true;
        this.#running--;
        // Not only at the end of the transaction: a slow destination of a group would hold those of all the others.
        place.giveBack();
        this.#handOn(place);
        const now = this.#clock();
        this.#quietSince = now;
        this.#judge(result, now - began, now);
        if (result === 'answered') this.#open();
        else if (result !== 'cancelled' && news === this.#news) this.#close(result.dead, now);
        const [next] = this.#waiting;
        next?.answer(this.#begin(next.place));
      },
    };
  }

  #judge(result: TurnResult, took: number, now: number): void {
    const fast = took < fastDelivery;
    if (result === 'answered' && fast) this.#healthyUntil = now + healthLasts;
    else if (result !== 'cancelled' || !fast) this.#healthyUntil = now;
  }

  #open(): void {
    this.#news++;
    this.#closure = null;
    this.#probe = null;
  }

  #close(foreignCause: string, now: number): void {
    this.#news++;
    const backoff = this.#closure === null ? firstBackoff : Math.min(this.#closure.backoff * 2, maxBackoff);
    // Not only control characters: what is no octet becomes one on the wire, perhaps a line end.
    const cause = foreignCause.replace(/[^\x20-\x7e]/g, '?').slice(0, maxCauseOctets);
    this.#closure = { cause, nextTry: now + backoff * (1 - jitter * this.#random()), backoff };
    const answer = closedReply(this.#closure, now);
    for (const waiter of this.#waiting) waiter.answer(answer);
  }

  /** Lets the next who comes be the probe if this one was. */
  #handOn(place: Place): void {
    if (this.#probe === place) this.#probe = null;
  }
}

function closedReply({ cause, nextTry }: Closure, now: number): Reply {
  // While the probe is under way the next try may be any moment.
  const seconds = Math.max(1, Math.ceil((nextTry - now) / 1000));
  return reply(451, '4.1', `${cause} (next try in ${seconds} s)`);
}
