// Many messages at once from an account of one relay to one of the other, and what became of them.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lines } from '../lines.ts';
import type { ChatmailRelay } from './chatmail-relay.ts';
import { type Host, inHost } from './host.ts';
import type { Order } from './submit.ts';

export type Mailbox = Readonly<{ relay: ChatmailRelay; address: string; password: string }>;

/** Message-IDs of those that did not come, that came more than once, and that the client has sent again. */
export type Arrived = Readonly<{ lost: string[]; twice: string[]; retried: string[] }>;

/** That messages can be sent from and to. */
export async function openMailbox(relay: ChatmailRelay): Promise<Mailbox> {
  const [address, password] = [`u${randomBytes(5).toString('hex')}@${relay.domain}`, 'long enough'];
  await relay.host.run(['doveadm', 'auth', 'login', address, password]);
  return { relay, address, password };
}

/** Sends messages, does `fault` when a third of them have been accepted, and waits until the queues of both relays are empty. */
export async function burst(
  clients: Host,
  [from, to]: readonly [Mailbox, Mailbox],
  fault: () => unknown,
  { count = 200, connections = 20, seconds = 120 } = {},
): Promise<Arrived> {
  const ids = Array.from({ length: count }, () => randomBytes(12).toString('hex'));
  const { address: user, password } = from;
  const order: Order = { host: from.relay.domain, user, password, to: to.address, ids, connections };
  const child = clients.spawn([inHost(process.execPath), inHost(`${import.meta.dirname}/submit.ts`)]);
  const closed = once(child, 'close');
  child.stdin.end(JSON.stringify(order));
  const [accepted, complaints] = [Lines.of(child.stdout), Lines.of(child.stderr)];
  const third = () => (accepted.mark >= count / 3 ? true : undefined);
  await accepted.until(third, `no third of ${count} messages accepted\n${complaints.all.join('\n')}`, seconds * 1000);
  await fault();
  const [status] = await closed;
  assert.equal(status, 0, complaints.all.slice(-20).join('\n'));
  const retried = accepted.all.filter(line => !line.endsWith(' 1')).map(line => line.replace(/ .*/, ''));

  // In the order in which messages go through them.
  const deadline = performance.now() + seconds * 1000;
  for (const { relay } of [from, to]) await untilEmpty(relay, deadline);
  const arrived = await messageIds(to);
  const times = (id: string) => arrived.filter(each => each === id).length;
  return { lost: ids.filter(id => times(id) === 0), twice: ids.filter(id => times(id) > 1), retried };
}

async function untilEmpty({ domain, host }: ChatmailRelay, deadline: number): Promise<void> {
  for (;;) {
    const queue = await host.run(['postqueue', '-j']);
    if (queue === '') return;
    assert.ok(performance.now() < deadline, `the queue of ${domain} is not empty:\n${queue.slice(0, 2000)}`);
    // What a reload has found on its way out is not looked at again for minutes.
    await host.run(['postqueue', '-f']);
    await sleep(1000);
  }
}

/** Dovecot keeps messages compressed. */
const listIds =
  'cd "$0"; for file in new/* cur/*; do [ ! -f "$file" ] || zcat -f "$file" | grep -aim 1 ^message-id:; done';

/** Of all messages in that mailbox. */
async function messageIds({ relay, address }: Mailbox): Promise<string[]> {
  const lines = await relay.host.run(['sh', '-c', listIds, relay.accounts.directory(address)]);
  return [...lines.matchAll(/<(\w+)@localhost>/g)].map(([, id = '']) => id);
}
