// A reinjector in front of a scripted server, and mail for it.

import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import type { TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type Mail, Reinjector, type ReinjectResult } from '../../src/deliver/reinject.ts';
import type { ForwardedAttribute, Parameters, ReversePath } from '../../src/message/envelope.ts';
import type { Clock } from '../../src/system/clock.ts';
import { type Spool, SpoolStore } from '../../src/system/spool.ts';
import { formatReply } from '../../src/wire/reply.ts';
import { postfixExtensions, type Script, ScriptedServer } from './scripted-server.ts';

export const usual: Script = () => undefined;
export const withoutPipelining = postfixExtensions.filter(line => line !== 'PIPELINING');
export const pipeliningOrNot = [
  ['pipelined', postfixExtensions],
  ['one by one', withoutPipelining],
] as const;

export const unavailable = '451 4.3.2 Temporary failure, try again later\r\n';
/** Far enough: nothing here waits for it but tests that move the clock themselves. */
export const patience = 90_000;
/** A clock that stands: with node:test's timers only a test moves time. */
export const standing: Clock = () => 0;

export type MailOptions = {
  from?: string | ReversePath;
  to?: readonly (string | ReversePath)[];
  xforward?: readonly ForwardedAttribute[];
  wire?: string;
  /** Instead of `wire`. */
  content?: Spool;
  /** Memory budget of the spool in octets; beyond 256 KiB the rest is in a file. */
  budget?: number | undefined;
  deadline?: number;
  gone?: AbortSignal;
};

const noParameters: Parameters = new Map();
const path = (address: string | ReversePath): ReversePath =>
  typeof address === 'string' ? { address, parameters: noParameters } : address;

export async function spoolOf(wire: string, budget?: number): Promise<Spool> {
  const spool = new SpoolStore(tmpdir(), budget).open();
  const octets = Buffer.from(`${wire}.\r\n`, 'latin1');
  // In pieces as a socket gives them, each with memory of its own.
  for (let at = 0; at < octets.length; at += 65_536) spool.append(Buffer.from(octets.subarray(at, at + 65_536)));
  await spool.seal(wire.length);
  assert.equal(spool.failed, null);
  return spool;
}

export class Bench {
  readonly server: ScriptedServer;
  readonly reinjector: Reinjector;

  constructor(server: ScriptedServer, reinjector: Reinjector) {
    this.server = server;
    this.reinjector = reinjector;
  }

  async deliver(options: MailOptions = {}): Promise<ReinjectResult> {
    const { from = 'a@b', to = ['c@d'], xforward = [], wire = 'Subject: x\r\n\r\nhello\r\n', budget } = options;
    const content = options.content ?? (await spoolOf(wire, budget));
    const mail: Mail = {
      envelope: { from: path(from), recipients: to.map(path), xforward },
      content,
      deadline: options.deadline ?? patience,
      gone: options.gone ?? new AbortController().signal,
    };
    try {
      return await this.reinjector.deliver(mail);
    } finally {
      content.discard();
    }
  }

  /** What the client would hear. */
  async answer(options: MailOptions = {}): Promise<string> {
    return formatReply((await this.deliver(options)).answer);
  }

  /** Delivers `count` messages at once, so that as many connections lie idle afterwards. */
  async idleConnections(count: number): Promise<void> {
    const { server } = this;
    const { script } = server;
    server.script = (stage, ...rest) => (stage === 'message' ? {} : script(stage, ...rest));
    const deliveries = Array.from({ length: count }, () => this.answer());
    await server.until(() => server.messages.length === count);
    server.script = script;
    for (const peer of server.peers) peer.do('250 2.0.0 Ok');
    assert.deepEqual(new Set(await Promise.all(deliveries)), new Set(['250 2.0.0 Ok\r\n']));
  }
}

export function reinjectorFor({ port }: { port: number }): Reinjector {
  return new Reinjector({ address: '127.0.0.1', port, name: '[127.0.0.1]', clock: standing });
}

const benches = new WeakMap<TestContext, Bench[]>();

/** Everything is over when the test is: a connection that stays open makes it fail. */
export async function bench(
  t: TestContext,
  script: Script = usual,
  extensions: readonly string[] = postfixExtensions,
): Promise<Bench> {
  const server = new ScriptedServer(script, extensions);
  await server.listen();
  const made = new Bench(server, reinjectorFor(server));
  const earlier = benches.get(t);
  if (earlier === undefined) {
    const all = [made];
    benches.set(t, all);
    t.after(() => finish(t, all));
  } else earlier.push(made);
  return made;
}

async function finish(t: TestContext, all: readonly Bench[]): Promise<void> {
  t.mock.timers.reset();
  for (const { reinjector } of all) reinjector.close();
  await Promise.all(all.map(({ server }) => server.close()));
  // The client's sockets close a turn later. One that lived on could clear a mocked timer of the next test.
  while (process.getActiveResourcesInfo().includes('TCPSocketWrap')) await turn();
}
