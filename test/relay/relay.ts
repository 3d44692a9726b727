// A relay on loopback: Postfix, the real filter and a sink, with a chatmail.ini and mailboxes in a temporary directory.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Client, type Mail, sendOne } from './client.ts';
import { type Filter, startFilter } from './filter.ts';
import { undoAtExit } from './leftovers.ts';
import { Postfix, type PostfixOptions, whyNoPostfix } from './postfix.ts';
import { type Delivery, Sink } from './sink.ts';

export const domain = 'one.test';

export interface Choices extends Pick<PostfixOptions, 'submission' | 'reinject' | 'main'> {
  /** Further keys of chatmail.ini. */
  settings?: Record<string, string | number>;
}

interface Parts {
  submissionPort: number;
  filterPort: number;
  mailboxes: string;
  sink: Sink;
  postfix: Postfix;
  filter: Filter;
}

export class Relay {
  /** Where Postfix takes mail in. */
  readonly submissionPort: number;
  readonly filterPort: number;
  readonly sink: Sink;
  readonly postfix: Postfix;
  readonly filter: Filter;
  readonly #mailboxes: string;
  readonly #started: AsyncDisposableStack;
  #judged = 0;

  private constructor(parts: Parts, started: AsyncDisposableStack) {
    this.submissionPort = parts.submissionPort;
    this.filterPort = parts.filterPort;
    this.sink = parts.sink;
    this.postfix = parts.postfix;
    this.filter = parts.filter;
    this.#mailboxes = parts.mailboxes;
    this.#started = started;
  }

  static async start({ settings, ...options }: Choices): Promise<Relay> {
    await using started = new AsyncDisposableStack();
    const directory = mkdtempSync(join(tmpdir(), 'filtermail-relay-'));
    const remove = () => rmSync(directory, { recursive: true, force: true });
    started.adopt(undoAtExit(remove), forget => {
      remove();
      forget();
    });
    const mailboxes = join(directory, 'mailboxes');
    const spool = join(directory, 'spool');
    for (const path of [mailboxes, spool]) mkdirSync(path);

    const sink = await Sink.start();
    started.defer(() => sink.stop());
    const [submissionPort, filterPort, reinjectPort] = await freePorts();
    const ports = { submissionPort, filterPort, reinjectPort, sinkPort: sink.port };
    const postfix = await Postfix.start({ domain, ...ports, ...options });
    started.defer(() => postfix.end());
    const config = writeConfig(directory, {
      mail_domain: domain,
      mailboxes_dir: mailboxes,
      filtermail_spool_dir: spool,
      filtermail_smtp_port: filterPort,
      postfix_reinject_port: reinjectPort,
      ...settings,
    });
    const filter = await startFilter(config, 'outgoing');
    started.defer(async () => assert.equal(await filter.stop(), 0, "the filter's exit status"));
    return new Relay({ submissionPort, filterPort, mailboxes, sink, postfix, filter }, started.move());
  }

  /** Ends all of it. Fails when the filter does not end in order. */
  stop(): Promise<void> {
    return this.#started.disposeAsync();
  }

  /** One mail through Postfix: the reply that its sender sees. */
  send(mail: Mail): Promise<string> {
    return sendOne(this.submissionPort, mail);
  }

  connect(from?: string): Promise<Client> {
    return Client.connect(this.submissionPort, from);
  }

  /** What reached the sink since the last call, once Postfix has nothing left to pass on. */
  async arrived(count: number): Promise<Delivery[]> {
    await this.postfix.idle();
    const deliveries = this.sink.take();
    assert.equal(deliveries.length, count, 'messages that arrived');
    return deliveries;
  }

  /**
   * What the filter has logged for chatmail's metrics since the last call: `count` lines of it. Each message that was
   * judged has one INFO line, so a test that does not ask leaves them to the next.
   */
  async judged(count: number): Promise<string[]> {
    const { log } = this.filter;
    const lines = () => log.since(this.#judged).filter(line => /Outgoing: Filtering|Rejected unencrypted/.test(line));
    await log.until(() => lines().length >= count || undefined, `fewer than ${count} verdicts`);
    const found = lines();
    this.#judged = log.mark;
    assert.equal(found.length, count, 'lines about verdicts');
    return found;
  }

  disable(address: string): void {
    const mailbox = join(this.#mailboxes, address);
    mkdirSync(mailbox, { recursive: true });
    writeFileSync(join(mailbox, 'DISABLED'), '');
  }
}

function writeConfig(directory: string, settings: Record<string, string | number>): string {
  const path = join(directory, 'chatmail.ini');
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`);
  writeFileSync(path, `[params]\n${lines.join('')}`);
  return path;
}

/**
 * Three loopback ports nobody listens on. Below the range from which the system takes the ports of outgoing connections:
 * else one of those could take a port while Postfix is stopped.
 */
async function freePorts(): Promise<[number, number, number]> {
  const free = async (): Promise<number> => {
    const port = 10240 + Math.floor(Math.random() * 22000);
    const server = createServer();
    try {
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    } catch {
      return await free();
    }
    server.close();
    await once(server, 'close');
    return port;
  };
  const ports = new Set<number>();
  while (ports.size < 3) ports.add(await free());
  return [...ports] as [number, number, number];
}

/**
 * Tests against a relay of their own. Where there can be none they are skipped with the reason; in CI, which has to show
 * them, that is a failure.
 */
export function describeRelay(name: string, choices: Choices, tests: (relay: () => Relay) => void): void {
  const reason = whyNoPostfix();
  if (reason && process.env.CI === 'true') {
    test(name, () => assert.fail(`tests against Postfix left out: ${reason}`));
    return;
  }
  describe(name, { skip: reason ? `tests against Postfix left out: ${reason}` : false }, () => {
    let relay: Relay | undefined;
    before(async () => {
      relay = await Relay.start(choices);
    });
    after(() => relay?.stop());
    tests(() => relay ?? assert.fail('the relay did not start'));
  });
}

/** The sink's message is the one sent, below the Received fields that Postfix put before it. */
export function assertIntact(delivery: Delivery | undefined, sent: Buffer): void {
  const message = delivery?.message ?? Buffer.alloc(0);
  const added = message.subarray(0, Math.max(0, message.length - sent.length));
  assert.match(
    added.toString('latin1'),
    /^(Received: [^\r\n]*\r\n(?:\t[^\r\n]*\r\n)*)*$/,
    'only Received fields are added',
  );
  // Not deepEqual: the difference of two large buffers takes minutes to print.
  assert.ok(message.subarray(added.length).equals(sent), 'the octets that arrive are those that were sent');
}
