/**
 * DKIM keys by DNS name: found ones are kept for at most an hour (Node does not tell their TTL), answers without a usable key are not
 * kept at all, and messages that need the same key at the same time share one look-up.
 */
import { createHash } from 'node:crypto';
import { type DkimKey, type KeyFault, readKeyRecords } from '../check/dkim/key-record.ts';
import type { Clock } from '../system/clock.ts';
import type { TxtAnswer, TxtLookup } from '../system/dns.ts';
import { LruMap } from '../system/lru-map.ts';

export type KeyAnswer = { key: DkimKey; cached: boolean } | { fault: KeyFault | 'no such name' } | { trouble: string };

type Entry = Readonly<{
  key: DkimKey;
  /** A digest of the records: they may be large. */
  published: string;
  fetchedAt: number;
  /** When a second look-up brought the same key. */
  confirmedAt: number;
}>;

const maxEntries = 1000;
const maxAge = 3_600_000;
const confirmationHolds = 60_000;

export class DkimKeys {
  readonly #lookup: TxtLookup;
  readonly #clock: Clock;
  readonly #entries = new LruMap<string, Entry>(maxEntries);
  readonly #underWay = new Map<string, Promise<KeyAnswer>>();

  constructor(lookup: TxtLookup, clock: Clock) {
    this.#lookup = lookup;
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  find(selector: string, domain: string): KeyAnswer | Promise<KeyAnswer> {
    const name = `${selector}._domainkey.${domain}`;
    const entry = this.#entries.get(name);
    if (entry === undefined || this.#clock() - entry.fetchedAt >= maxAge) return this.#fetch(name);
    return { key: entry.key, cached: true };
  }

  /**
   * The key as it is now, after `failed` from the cache did not match; null when a look-up within the last minute has shown that it did
   * not change.
   */
  async findFresh(selector: string, domain: string, failed: DkimKey): Promise<KeyAnswer | null> {
    const name = `${selector}._domainkey.${domain}`;
    const before = this.#entries.get(name);
    if (before !== undefined && before.key !== failed) return { key: before.key, cached: true };
    if (before !== undefined && this.#clock() - before.confirmedAt < confirmationHolds) return null;
    const answer = await this.#fetch(name);
    const now = this.#entries.get(name);
    if (!('key' in answer) || now === undefined || now.published !== before?.published) return answer;
    this.#entries.set(name, { ...now, key: before.key, confirmedAt: this.#clock() });
    return null;
  }

  #fetch(name: string): Promise<KeyAnswer> {
    const underWay = this.#underWay.get(name);
    if (underWay !== undefined) return underWay;
    const fetching = this.#lookup(name)
      .then(answer => this.#take(name, answer))
      .finally(() => this.#underWay.delete(name));
    this.#underWay.set(name, fetching);
    return fetching;
  }

  #take(name: string, answer: TxtAnswer): KeyAnswer {
    if ('trouble' in answer) return answer;
    this.#entries.delete(name);
    if ('absent' in answer) return { fault: 'no such name' };
    const key = readKeyRecords(answer.records);
    if (typeof key === 'string') return { fault: key };
    // Servers give records in any order.
    const published = digestOf(answer.records.map(strings => strings.join('')).sort());
    this.#entries.set(name, { key, published, fetchedAt: this.#clock(), confirmedAt: Number.NEGATIVE_INFINITY });
    return { key, cached: false };
  }
}

function digestOf(records: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(records)).digest('base64');
}
