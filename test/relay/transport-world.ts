// The transport mode with remote hosts that a test scripts: each domain has an MX of its own on an address of its own.

import assert from 'node:assert/strict';
import type { Binary } from '../loopback/binary.ts';
import { assertLog } from '../loopback/binary.ts';
import type { Client } from '../loopback/client.ts';
import type { Keys } from '../loopback/site.ts';
import { undoAtEnd } from '../loopback/tidy.ts';
import { TransportSite } from '../loopback/transport-site.ts';
import { Authority } from '../peers/authority.ts';
import { freePort } from '../peers/ports.ts';
import { wire } from './client.ts';
import { readable } from './mail.ts';
import { Remote, type Said } from './transport-remote.ts';

export type WorldOptions = Readonly<{
  domains: readonly string[];
  keys?: Keys;
  /** Whether the hosts have `/mxdeliv`. */
  https?: boolean;
  haste?: number;
}>;

export class World {
  readonly world: TransportSite;
  readonly remote: Remote;
  readonly #addresses: ReadonlyMap<string, string>;

  private constructor(world: TransportSite, remote: Remote, addresses: ReadonlyMap<string, string>) {
    this.world = world;
    this.remote = remote;
    this.#addresses = addresses;
  }

  static async start({ domains, keys, https = false, haste }: WorldOptions): Promise<World> {
    const authority = new Authority();
    undoAtEnd(() => authority[Symbol.dispose]());
    const addresses = new Map(
      domains.map((domain, n) => [domain, `127.0.${1 + Math.floor(n / 200)}.${(n % 200) + 1}`]),
    );
    const [smtpPort, httpsPort] = [await freePort(), await freePort()];
    const remote = await Remote.start({
      addresses: [...addresses.values()],
      certificate: authority.issue(domains.map(domain => `mx.${domain}`)),
      smtpPort,
      ...(https && { httpsPort }),
    });
    undoAtEnd(() => void remote[Symbol.asyncDispose]());
    const world = await TransportSite.start({
      ...{ authority, smtpPort, httpsPort },
      ...(keys && { keys }),
      ...(haste && { haste }),
    });
    for (const [domain, address] of addresses) world.host(domain, address);
    return new World(world, remote, addresses);
  }

  get filter(): Binary {
    return this.world.filter;
  }

  lmtp(): Promise<Client> {
    return this.world.lmtp();
  }

  address(domain: string): string {
    return this.#addresses.get(domain) ?? assert.fail(domain);
  }

  /** Whether it was said to the host of that domain. */
  isAt(domain: string, { address }: Said): boolean {
    return address === this.address(domain);
  }

  /** The process is as good as new: its descriptors are as many as they were, its spool is empty, its log is one. */
  async unharmed(descriptors: number): Promise<void> {
    this.remote.answer = () => undefined;
    this.remote.hangUp();
    await this.filter.descriptorsBackTo(descriptors);
    assert.deepEqual(this.filter.spoolFiles(this.world.site), []);
    assertLog(this.filter.log.all);
    assert.deepEqual(
      this.filter.log.all.filter(line => line.startsWith('ERROR ')),
      [],
    );
  }
}

/** A message of about that many octets, in wire form. */
export function letter(octets = 300, from = 'alice@one.test'): Buffer {
  const line = `${'x'.repeat(70)}\r\n`;
  return wire(readable({ from }, line.repeat(Math.ceil(octets / line.length))));
}

/** Takes the transaction up to the 354, over a connection that has said LHLO: the replies to RCPT and DATA. */
export async function open(client: Client, to: readonly string[], from = 'alice@one.test'): Promise<string[]> {
  assert.match(await client.ask(`MAIL FROM:<${from}>`), /^250 /);
  const replies: string[] = [];
  for (const address of to) replies.push(await client.ask(`RCPT TO:<${address}>`));
  return [...replies, await client.ask('DATA')];
}

/** A promise that a test settles. */
export function gate<Value = undefined>(): PromiseWithResolvers<Value> {
  return Promise.withResolvers<Value>();
}
