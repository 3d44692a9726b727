import assert from 'node:assert/strict';
import type { Turn } from '../../src/deliver/destination.ts';
import { Destinations, type Places } from '../../src/deliver/destinations.ts';
import { describeReply, type Reply } from '../../src/wire/reply.ts';

export const busy = '451 4.3.2 Transport busy';
export const second = 1000;
export const minute = 60_000;

/** Destinations whose time only the test moves. */
export class Scene {
  now = 1e6;
  random = 0;
  readonly destinations: Destinations;
  readonly #alive = new AbortController().signal;

  constructor(connections = 500) {
    this.destinations = new Destinations({ connections, clock: () => this.now, random: () => this.random });
  }

  /** What RCPT is answered, null when the place was taken. */
  rcpt(domain: string, places = this.destinations.begin()): string | null {
    const refusal = places.take(domain);
    return refusal === null ? null : describeReply(refusal);
  }

  places(...domains: string[]): Places {
    const places = this.destinations.begin();
    for (const domain of domains) assert.equal(this.rcpt(domain, places), null);
    return places;
  }

  /** A transaction with one place whose delivery runs. */
  async delivery(domain: string): Promise<{ places: Places; turn: Turn }> {
    const places = this.places(domain);
    return { places, turn: running(await places.turn(domain, this.#alive)) };
  }

  /** One that asks for its turn, and what it has got by now. */
  queued(domain: string, signal = this.#alive): { places: Places; got: () => Promise<string | Turn> } {
    const places = this.places(domain);
    return { places, got: this.ask(places, domain, signal) };
  }

  ask(places: Places, domain: string, signal = this.#alive): () => Promise<string | Turn> {
    let got: Turn | Reply | null = null;
    void places.turn(domain, signal).then(result => (got = result));
    return async () => {
      for (let n = 0; n < 5; n++) await null;
      if (got === null) return 'waits';
      return 'code' in got ? describeReply(got) : got;
    };
  }

  async delivered(domain: string, took: number): Promise<void> {
    const { places, turn } = await this.delivery(domain);
    this.now += took;
    turn.end('answered');
    places.end();
  }

  async dies(domain: string, cause = 'no route'): Promise<void> {
    const { places, turn } = await this.delivery(domain);
    turn.end({ dead: cause });
    places.end();
  }

  /** How many more transactions find a place. */
  room(domain: string): number {
    const taken: Places[] = [];
    for (let refusal: string | null = null; ; ) {
      const places = this.destinations.begin();
      refusal = this.rcpt(domain, places);
      if (refusal === busy) break;
      assert.equal(refusal, null);
      taken.push(places);
    }
    for (const places of taken) places.end();
    return taken.length;
  }
}

export function running(result: Turn | Reply | string): Turn {
  assert.ok(typeof result !== 'string' && !('code' in result), JSON.stringify(result));
  return result;
}
