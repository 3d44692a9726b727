/**
 * MTA-STS (RFC 8461): the MX hosts of a domain that its policy allows.
 *
 * - Mail is held up only where a policy would refuse it: before that, the `id` is read again (but not twice in a minute), a new policy is
 *   fetched, and the delivery waits for both, 10 s at most. All other reading and fetching goes on beside the deliveries that cause it, so
 *   the first ones know no policy.
 * - Nothing is done for domains that get no mail. The `id` is read again after a day, or after 5 minutes where there is no policy or
 *   something failed: a domain without MTA-STS costs one question in that time, and 3.3 wants as much between two attempts. A policy is
 *   fetched when the `id` is new, and on the last day (or in the second half) of its life, so that one in use does not run out.
 * - What cannot be read or fetched changes nothing: a known policy holds for its `max_age` (5.1), without one mail goes on as ever.
 */
import { unlessAborted } from '../system/cancel.ts';
import type { Clock } from '../system/clock.ts';
import { queryName } from '../system/dns.ts';
import { LruMap } from '../system/lru-map.ts';
import { type Reply, reply } from '../wire/reply.ts';

export type Policy = Readonly<{
  mode: 'enforce' | 'testing' | 'none';
  /** Seconds. */
  maxAge: number;
  /** Whether it names a host, in A-labels and lower case. */
  lists: (host: string) => boolean;
}>;

/** What domains publish; their names in A-labels and lower case, causes in one line of ASCII. Nothing rejects, everything ends in a minute. */
export type PolicySource = Readonly<{
  /** From the TXT record; `none` says why there is none that counts. */
  currentId: (domain: string) => Promise<Readonly<{ id: string } | { none: string }>>;
  fetch: (domain: string) => Promise<Policy | Readonly<{ trouble: string }>>;
}>;

export type Allowed = Readonly<{
  /** At least one, in the order in which they came. */
  hosts: readonly string[];
  /** For the log, one line of ASCII: what the policy removed, or would if it were not only a test; null when it lists all. */
  note: string | null;
}>;

export type NoneAllowed = Readonly<{
  reply: Reply;
  /** For the log, one line of ASCII. */
  cause: string;
}>;

export type MtaStsOptions = Readonly<{
  source: PolicySource;
  clock: Clock;
  /**
   * Told what keeps a policy from being known or renewed, one line of ASCII, once as long as it stays the same: 3.3 wants an administrator
   * to see it.
   */
  report: (trouble: string) => void;
}>;

type Held = Readonly<{
  id: string;
  policy: Policy;
  /** Milliseconds of the clock, here and below. */
  until: number;
  /** From when on it is fetched though the `id` is the same. */
  renewAt: number;
}>;

type Known = Readonly<{
  held: Held | null;
  /** From when on a delivery causes the next check. */
  dueAt: number;
  /** Until then nothing is asked again, not even before mail is refused. */
  settledUntil: number;
  trouble: string | null;
}>;

/** Reading the `id` of a domain and fetching its policy where that is due. */
type Check = {
  done: Promise<void>;
  /** A delivery waits for it. */
  awaited: boolean;
};

const maxDomains = 10_000;
/** Under way at once, those that a delivery waits for apart. Beyond these the next message to the domain is the next chance. */
const maxChecks = 100;
const maxFetches = 8;
const patience = 10_000;
const minute = 60_000;
const pause = 5 * minute;
const day = 24 * 60 * minute;

export class MtaSts {
  readonly #options: MtaStsOptions;
  readonly #known = new LruMap<string, Known>(maxDomains);
  readonly #underWay = new Map<string, Check>();
  #fetches = 0;

  constructor(options: MtaStsOptions) {
    this.#options = options;
  }

  /** Domains that something is known of, if only that they have no policy. */
  get size(): number {
    return this.#known.size;
  }

  /**
   * Which of the hosts of a route (A-labels, lower case) mail to `domain` may go to: a name in A-labels, or an address literal. Never rejects.
   * When `signal` aborts, the answer comes at once and is whatever was known.
   */
  async allowed(domain: string, hosts: readonly string[], signal: AbortSignal): Promise<Allowed | NoneAllowed> {
    const name = policyDomain(domain);
    if (name === null) return { hosts, note: null };
    const now = this.#options.clock();
    const known = this.#known.get(name);
    if (known === undefined || now >= known.dueAt) this.#checkUnlessBusy(name);
    const allowed = allowedBy(this.#held(name), name, hosts);
    if (!('reply' in allowed) || known === undefined || now < known.settledUntil) return allowed;
    const check = this.#check(name);
    check.awaited = true;
    await unlessAborted(check.done, AbortSignal.any([signal, AbortSignal.timeout(patience)]));
    return allowedBy(this.#held(name), name, hosts);
  }

  #held(name: string): Held | null {
    const held = this.#known.get(name)?.held ?? null;
    return held !== null && this.#options.clock() < held.until ? held : null;
  }

  #checkUnlessBusy(name: string): void {
    if (this.#underWay.size < maxChecks) this.#check(name);
  }

  #check(name: string): Check {
    return this.#underWay.getOrInsertComputed(name, () => {
      const check = { done: Promise.resolve(), awaited: false };
      check.done = this.#run(name, check).finally(() => this.#underWay.delete(name));
      return check;
    });
  }

  async #run(name: string, check: Check): Promise<void> {
    const { source, clock } = this.#options;
    const published = await source.currentId(name);
    const held = this.#held(name);
    if ('none' in published) {
      const isMissed = held !== null && held.policy.mode !== 'none';
      this.#learn(name, held, isMissed ? published.none : null);
      return;
    }
    const { id } = published;
    if (held?.id === id && clock() < held.renewAt) {
      this.#learn(name, held, null);
      return;
    }
    if (this.#fetches >= maxFetches && !check.awaited) return;
    this.#fetches++;
    const fetched = await source.fetch(name);
    this.#fetches--;
    if ('trouble' in fetched) this.#learn(name, held, fetched.trouble);
    else this.#learn(name, this.#taken(id, fetched), null);
  }

  #taken(id: string, policy: Policy): Held {
    const now = this.#options.clock();
    const life = 1000 * policy.maxAge;
    return { id, policy, until: now + life, renewAt: now + Math.max(life / 2, life - day) };
  }

  #learn(name: string, held: Held | null, trouble: string | null): void {
    const { clock, report } = this.#options;
    const now = clock();
    if (trouble !== null && trouble !== this.#known.get(name)?.trouble) report(`MTA-STS policy of ${name}: ${trouble}`);
    const isSound = held !== null && trouble === null;
    this.#known.set(name, {
      held,
      dueAt: isSound ? Math.min(now + day, Math.max(now + pause, held.renewAt)) : now + pause,
      settledUntil: now + (trouble === null ? minute : pause),
      trouble,
    });
  }
}

/** The domain whose policy counts, null for those that have none: address literals, and names that no certificate can have. */
function policyDomain(domain: string): string | null {
  const name = queryName(domain)?.toLowerCase().replace(/\.$/, '') ?? null;
  return name === null || name.startsWith('_') ? null : name;
}

function allowedBy(held: Held | null, domain: string, hosts: readonly string[]): Allowed | NoneAllowed {
  if (held === null || held.policy.mode === 'none') return { hosts, note: null };
  const { mode, lists } = held.policy;
  const listed = hosts.filter(lists);
  if (listed.length === hosts.length) return { hosts, note: null };
  const others = hosts.filter(host => !listed.includes(host)).join(', ');
  if (mode === 'testing')
    return { hosts, note: `the MTA-STS policy of ${domain}, a test, does not list its MX ${others}` };
  if (listed.length > 0)
    return { hosts: listed, note: `the MTA-STS policy of ${domain} does not list its MX ${others}` };
  const cause = `the MTA-STS policy of ${domain} lists none of its MX: ${others}`;
  return { reply: reply(451, '7.5', cause), cause };
}
