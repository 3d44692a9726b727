// Two chatmail relays and the people who use them, in a network of their own.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { binary } from '../../loopback/binary.ts';
import { Authority } from '../../peers/authority.ts';
import { ChatmailRelay, Plan } from './chatmail-relay.ts';
import { type Account, type Binary, Core, cores, type Login } from './delta-chat.ts';
import { checkoutInHost, Host, inHost } from './host.ts';
import { addresses, connect, cut, type Family, mend } from './network.ts';

export const domains = ['one.test', 'two.test'] as const;

export type Choices = Readonly<{
  /** The filter; that of this checkout unless it says otherwise. */
  program?: string | undefined;
  /** Further keys of both chatmail.ini. */
  settings?: Readonly<Record<string, string | number>>;
}>;

export class TwoRelays implements AsyncDisposable {
  /** Where the clients are. */
  readonly clients: Host;
  readonly one: ChatmailRelay;
  readonly two: ChatmailRelay;
  readonly #started: AsyncDisposableStack;

  private constructor(
    clients: Host,
    [one, two]: readonly [ChatmailRelay, ChatmailRelay],
    started: AsyncDisposableStack,
  ) {
    this.clients = clients;
    this.one = one;
    this.two = two;
    this.#started = started;
  }

  static async start({ program = binary, settings }: Choices = {}): Promise<TwoRelays> {
    await using started = new AsyncDisposableStack();
    const host = async (name: string) => started.use(await Host.start(name));
    const [clients, ...hosts] = await Promise.all([host('clients'), ...domains.map(host)]);
    connect([clients, ...hosts]);
    using authority = new Authority('two relays', clients.path('/tmp'));
    const plans = domains.map((domain, index) => new Plan({ domain, addresses: addresses(index + 1) }));
    const setup = {
      records: plans.flatMap(plan => plan.records),
      authority: readFileSync(authority.path, 'latin1'),
      program: inHost(program),
      ...(settings && { settings }),
    };
    const relay = async (plan: Plan, index: number) => {
      const { domain } = plan.place;
      const certificate = authority.issue([domain, `mta-sts.${domain}`]);
      return started.use(await ChatmailRelay.start(hosts[index] as Host, { ...setup, plan, certificate }));
    };
    const relays = (await Promise.all(plans.map(relay))) as [ChatmailRelay, ChatmailRelay];
    // Clients find the relays without a resolver.
    const known = plans.map(({ place }) => `${place.addresses.ipv4} ${place.domain}\n`).join('');
    await clients.write({ '/etc/hosts': known });
    return new TwoRelays(clients, relays, started.move());
  }

  /** A core with the clients, the newest unless it says otherwise. */
  async core(binary: Binary = cores(checkoutInHost)[0]): Promise<Core> {
    const directory = `/tmp/${binary.version}-${randomBytes(4).toString('hex')}`;
    const spawn = (argv: readonly string[], { env }: { env: Record<string, string> }) =>
      this.clients.spawn(argv, { env });
    // It ends with its host.
    return await Core.start(spawn, binary, directory);
  }

  /** An account with a name of its own. */
  signUp(core: Core, { domain }: ChatmailRelay, name = 'user', more: Partial<Login> = {}): Promise<Account> {
    const address = `${name}${randomBytes(4).toString('hex')}@${domain}`;
    const password = randomBytes(9).toString('base64url');
    return core.signUp({ address, password, host: domain, displayName: name, ...more });
  }

  /** From the first relay the second one cannot be reached by its address of that kind, which is in DNS still. */
  cut(family: Family): void {
    cut(this.one.host, addresses(2)[family]);
  }

  mend(family: Family): void {
    mend(this.one.host, addresses(2)[family]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#started.disposeAsync();
  }
}
