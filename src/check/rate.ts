/**
 * The generic cell rate algorithm (ITU-T I.371) for senders: one theoretical arrival time each, no timers. Time is an argument, in
 * milliseconds of a monotonic clock.
 */

export class RateLimiter {
  readonly #interval: number;
  readonly #tolerance: number;
  /**
   * Theoretical arrival times in the order of the last accepted message. One that has expired is forgotten at most the tolerance later,
   * when those before it have expired too.
   */
  readonly #arrivals = new Map<string, number>();

  /** `perMinute` messages in the long run, `burst` at once. */
  constructor(perMinute: number, burst: number) {
    this.#interval = 60_000 / perMinute;
    this.#tolerance = this.#interval * (burst - 1);
  }

  /** Counts one message of `key`. Returns 0, or, uncounted, the milliseconds until one would be accepted. */
  admit(key: string, now: number): number {
    const arrival = Math.max(this.#arrivals.get(key) ?? now, now);
    const wait = arrival - this.#tolerance - now;
    // Below a microsecond it is rounding, not waiting.
    if (wait > 0.001) return wait;
    this.#arrivals.delete(key);
    this.#arrivals.set(key, arrival + this.#interval);
    this.#forgetExpired(now);
    return 0;
  }

  /** How many senders are remembered. */
  get size(): number {
    return this.#arrivals.size;
  }

  #forgetExpired(now: number): void {
    for (const [key, arrival] of this.#arrivals) {
      if (arrival > now) return;
      this.#arrivals.delete(key);
    }
  }
}
