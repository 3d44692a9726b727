// Many messages at once from an account of one relay to one of the other, and what became of them.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { eventually } from '../../loopback/eventually.ts';
import { Lines } from '../lines.ts';
import type { ChatmailRelay } from './chatmail-relay.ts';
import { type Host, inHost } from './host.ts';
import type { Order } from './submit.ts';

export type Mailbox = Readonly<{ relay: ChatmailRelay; address: string; password: string }>;

export type Arrived = Readonly<{ lost: string[]; twice: number; retried: number; seconds: number }>;

/** That messages can be sent from and to. */
export async function openMailbox(relay: ChatmailRelay): Promise<Mailbox> {
  const [address, password] = [`u${randomBytes(5).toString('hex')}@${relay.domain}`, 'long enough'];
  await relay.host.run(['doveadm', 'auth', 'login', address, password]);
  return { relay, address, password };
}

/**
 * Sends them, does `fault` when a third of them have been accepted, and waits until all have arrived. `lost` did not within
 * `seconds`; `twice` came more than once.
 */
export async function burst(
  clients: Host,
  [from, to]: readonly [Mailbox, Mailbox],
  fault: () => unknown,
  { count = 200, connections = 20, seconds = 60 } = {},
): Promise<Arrived> {
  const ids = Array.from({ length: count }, () => randomBytes(12).toString('hex'));
  const { address: user, password } = from;
  const order: Order = { host: from.relay.domain, user, password, to: to.address, ids, connections };
  const began = performance.now();
  const program = `${import.meta.dirname}/submit.ts`;
  const child = clients.spawn([inHost(process.execPath), inHost(program)]);
  assert.ok(child.stdin && child.stdout && child.stderr);
  const closed = once(child, 'close');
  child.stdin.end(JSON.stringify(order));
  const [accepted, complaints] = [Lines.of(child.stdout), Lines.of(child.stderr)];
  const third = () => (accepted.mark >= count / 3 ? true : undefined);
  await accepted.until(third, `no third of ${count} messages accepted\n${complaints.all.join('\n')}`, seconds * 1000);
  await fault();
  const [status] = await closed;
  assert.equal(status, 0, complaints.all.slice(-20).join('\n'));
  const retried = accepted.all.filter(line => !line.endsWith(' 1')).length;

  let times = new Map<string, number>();
  const lost = () => ids.filter(id => !times.has(id));
  try {
    await eventually(() => {
      times = messageIds(to);
      assert.deepEqual(lost(), []);
    }, seconds * 1000);
  } catch {
    // The caller is told which are lost.
  }
  const twice = [...times.values()].filter(n => n > 1).length;
  return { lost: lost(), twice, retried, seconds: (performance.now() - began) / 1000 };
}

/** Of the messages in that mailbox that `submit` made: how often each is there. */
function messageIds({ relay, address }: Mailbox): Map<string, number> {
  const times = new Map<string, number>();
  for (const directory of ['new', 'cur']) {
    const path = `${relay.accounts.directory(address)}/${directory}`;
    for (const name of readdirSync(path)) {
      const octets = readFileSync(`${path}/${name}`);
      const message = octets[0] === 0x1f ? gunzipSync(octets) : octets;
      const id = /^Message-ID: <(\w+)@localhost>/im.exec(message.toString('latin1'))?.[1] ?? assert.fail(name);
      times.set(id, (times.get(id) ?? 0) + 1);
    }
  }
  return times;
}
