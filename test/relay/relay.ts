// A relay on loopback: Postfix, the real filter and a sink, with a chatmail.ini and mailboxes in a temporary directory.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freePorts } from '../peers/ports.ts';
import { Client, type Mail, sendOne } from './client.ts';
import { type Filter, startFilter } from './filter.ts';
import { undoAtExit } from './leftovers.ts';
import { Postfix, whyNoPostfix } from './postfix.ts';
import type { Direction, PostfixOptions } from './postfix-setup.ts';
import { type Delivery, Sink } from './sink.ts';

export const domain = 'one.test';

export interface Choices extends Pick<PostfixOptions, 'entry' | 'reinject' | 'main'> {
  /** Outgoing unless it says otherwise. */
  direction?: Direction;
  /** Further keys of chatmail.ini. */
  settings?: Record<string, string | number>;
}

interface Parts {
  direction: Direction;
  directory: string;
  ports: { entryPort: number; filterPort: number; httpPort: number; reinjectPort: number };
  sink: Sink;
  postfix: Postfix;
  filter: Filter;
}

export class Relay {
  /** Where Postfix takes mail in. */
  readonly entryPort: number;
  readonly filterPort: number;
  /** Where the incoming filter takes mail in past Postfix. */
  readonly httpPort: number;
  readonly reinjectPort: number;
  readonly sink: Sink;
  readonly postfix: Postfix;
  readonly #direction: Direction;
  readonly #directory: string;
  readonly #started: AsyncDisposableStack;
  #filter: Filter;
  #judged = 0;

  private constructor({ ports, ...parts }: Parts, started: AsyncDisposableStack) {
    this.entryPort = ports.entryPort;
    this.filterPort = ports.filterPort;
    this.httpPort = ports.httpPort;
    this.reinjectPort = ports.reinjectPort;
    this.sink = parts.sink;
    this.postfix = parts.postfix;
    this.#direction = parts.direction;
    this.#directory = parts.directory;
    this.#filter = parts.filter;
    this.#started = started;
    started.defer(async () => assert.equal(await this.#filter.stop(), 0, "the filter's exit status"));
  }

  static async start({ direction = 'outgoing', settings, ...options }: Choices): Promise<Relay> {
    await using started = new AsyncDisposableStack();
    const directory = mkdtempSync(join(tmpdir(), 'filtermail-relay-'));
    const remove = () => rmSync(directory, { recursive: true, force: true });
    started.adopt(undoAtExit(remove), forget => {
      remove();
      forget();
    });
    for (const name of ['mailboxes', 'spool']) mkdirSync(join(directory, name));

    const sink = await Sink.start();
    started.defer(() => sink.stop());
    const ports = await freePorts('entryPort', 'filterPort', 'httpPort', 'reinjectPort');
    const postfix = await Postfix.start({ domain, direction, ...ports, sinkPort: sink.port, ...options });
    started.defer(() => postfix.end());
    const suffix = direction === 'incoming' ? '_incoming' : '';
    writeConfig(directory, {
      mail_domain: domain,
      mailboxes_dir: join(directory, 'mailboxes'),
      filtermail_spool_dir: join(directory, 'spool'),
      filtermail_rejected_dir: join(directory, 'rejected'),
      [`filtermail_smtp_port${suffix}`]: ports.filterPort,
      filtermail_http_port_incoming: ports.httpPort,
      [`postfix_reinject_port${suffix}`]: ports.reinjectPort,
      ...settings,
    });
    const filter = await startFilter(join(directory, 'chatmail.ini'), direction);
    return new Relay({ direction, directory, ports, sink, postfix, filter }, started.move());
  }

  get filter(): Filter {
    return this.#filter;
  }

  /** After its end: another filter in the place of the one that was stopped or killed. */
  async startFilterAgain(): Promise<void> {
    this.#filter = await startFilter(join(this.#directory, 'chatmail.ini'), this.#direction);
    this.#judged = 0;
  }

  /** Ends all of it. Fails when the filter does not end in order. */
  stop(): Promise<void> {
    return this.#started.disposeAsync();
  }

  /** One mail through Postfix: the reply that its sender sees. */
  send(mail: Mail): Promise<string> {
    return sendOne(this.entryPort, mail);
  }

  connect(from?: string): Promise<Client> {
    return Client.connect(this.entryPort, from);
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
    const pattern = /(?:Outgoing|Incoming): Filtering|Rejected unencrypted/;
    const lines = () => log.since(this.#judged).filter(line => pattern.test(line));
    await log.until(() => lines().length >= count || undefined, `fewer than ${count} verdicts`);
    const found = lines();
    this.#judged = log.mark;
    assert.equal(found.length, count, 'lines about verdicts');
    return found;
  }

  disable(address: string): void {
    this.#mark(address, 'DISABLED');
  }

  enforceEncryption(address: string): void {
    this.#mark(address, 'enforceE2EEincoming');
  }

  #mark(address: string, marker: string): void {
    const mailbox = join(this.#directory, 'mailboxes', address);
    mkdirSync(mailbox, { recursive: true });
    writeFileSync(join(mailbox, marker), '');
  }

  /** The messages that were kept because nobody vouched for them. */
  get rejected(): Buffer[] {
    const directory = join(this.#directory, 'rejected', 'dkim-verify');
    return !existsSync(directory) ? [] : readdirSync(directory).map(name => readFileSync(join(directory, name)));
  }
}

function writeConfig(directory: string, settings: Record<string, string | number>): void {
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`);
  writeFileSync(join(directory, 'chatmail.ini'), `[params]\n${lines.join('')}`);
}

/**
 * Tests against a relay of their own. Where there can be none they are skipped with the reason; in CI, which has to show
 * them, that is a failure.
 */
export function describeRelay(
  name: string,
  choices: Choices | (() => Promise<Choices>),
  tests: (relay: () => Relay) => void,
): void {
  const reason = whyNoPostfix();
  if (reason && process.env.CI === 'true') {
    test(name, () => assert.fail(`tests against Postfix left out: ${reason}`));
    return;
  }
  describe(name, { skip: reason ? `tests against Postfix left out: ${reason}` : false }, () => {
    let relay: Relay | undefined;
    before(async () => {
      relay = await Relay.start(typeof choices === 'function' ? await choices() : choices);
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
