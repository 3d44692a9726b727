import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { MtaSts, type Policy } from '../../src/deliver/mta-sts.ts';

export const second = 1000;
export const minute = 60 * second;
export const hour = 60 * minute;
export const day = 24 * hour;

type Published = Readonly<{ id: string; policy: Policy | { trouble: string } }>;

export function policy(mode: Policy['mode'], listed: readonly string[], maxAge = 7 * day): Policy {
  return { mode, maxAge: maxAge / second, lists: host => listed.includes(host) };
}

export const listsOne = policy('enforce', ['mx1']);
export const listsOther = policy('enforce', ['mx2']);
export const noSuchName = { none: 'TXT of _mta-sts.a.test: ENOTFOUND' };

export class Bench {
  now = 0;
  /** What every domain publishes, or why there is nothing. */
  published: Published | { none: string };
  /** What a question and a fetch wait for. */
  idAfter: Promise<void> = Promise.resolve();
  policyAfter: Promise<void> = Promise.resolve();
  /** Of all domains, since they were last looked at. */
  readonly #did: string[] = [];
  readonly reports: string[] = [];
  readonly sts: MtaSts;
  readonly gone = new AbortController();

  constructor(published: Bench['published']) {
    this.published = published;
    const source = {
      currentId: async (domain: string) => {
        this.#did.push(`id ${domain}`);
        await this.idAfter;
        return this.published;
      },
      fetch: async (domain: string) => {
        this.#did.push(`fetch ${domain}`);
        await this.policyAfter;
        return 'none' in this.published ? { trouble: this.published.none } : this.published.policy;
      },
    };
    this.sts = new MtaSts({ source, clock: () => this.now, report: trouble => this.reports.push(trouble) });
  }

  /** That knows the policy already. */
  static async with(first: Policy): Promise<Bench> {
    const made = new Bench({ id: '1', policy: first });
    await made.deliver();
    assert.deepEqual(made.did(), ['id a.test', 'fetch a.test']);
    return made;
  }

  did(): string[] {
    return this.#did.splice(0);
  }

  async deliver(domain = 'a.test', hosts: readonly string[] = ['mx1']) {
    const allowed = await this.sts.allowed(domain, hosts, this.gone.signal);
    await turn();
    return allowed;
  }

  /** Whether the one host is allowed. */
  async delivers(domain = 'a.test', host = 'mx1'): Promise<boolean> {
    return 'hosts' in (await this.deliver(domain, [host]));
  }
}

export const { promise: never } = Promise.withResolvers<void>();
