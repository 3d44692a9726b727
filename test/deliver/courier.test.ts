// Which verdict a delivery ends with when no host is reached, over made-up DNS and carriers that reach nobody.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Courier, type Delivered } from '../../src/deliver/courier.ts';
import type { HttpsCarrier } from '../../src/deliver/https-carrier.ts';
import type { MtaSts } from '../../src/deliver/mta-sts.ts';
import type { SmtpCarrier } from '../../src/deliver/smtp-carrier.ts';
import type { Spool } from '../../src/system/spool.ts';
import { describeReply } from '../../src/wire/reply.ts';
import { envelope } from '../check/envelopes.ts';

type World = Readonly<{
  hosts?: readonly string[];
  allowed?: readonly string[];
  addresses?: 'none' | 'trouble' | 'found';
  /** Why nobody could be dialled. */
  cause?: string;
}>;

async function deliver({
  hosts = ['one.test', 'two.test'],
  allowed = hosts,
  addresses = 'none',
  cause = 'connection refused (ECONNREFUSED)',
}: World): Promise<Delivered> {
  const answers = {
    none: { absent: 'ENODATA' },
    trouble: { trouble: 'timeout' },
    found: { records: ['192.0.2.1'], ttl: 60 },
  };
  const address = () => Promise.resolve(answers[addresses]);
  const failures = [{ address: '192.0.2.1', phase: 'connect', cause }];
  const courier = new Courier({
    dns: {
      mx: () =>
        Promise.resolve({ records: hosts.map((exchange, preference) => ({ preference, exchange })), ttl: null }),
      a: address,
      aaaa: address,
    },
    sts: { allowed: () => Promise.resolve({ hosts: allowed, note: null }) } as unknown as MtaSts,
    https: { suits: () => false, skipNoMore: () => undefined } as unknown as HttpsCarrier,
    smtp: { deliver: () => Promise.resolve({ failures }) } as unknown as SmtpCarrier,
    clock: () => 0,
    random: () => 0,
    ourNames: [],
  });
  const gone = new AbortController().signal;
  const mail = {
    domain: 'd.test',
    envelope: envelope('a@b.test', 'c@d.test'),
    content: {} as Spool,
    deadline: 1,
    gone,
  };
  return await courier.deliver(mail, () => assert.fail('nobody showed life'));
}

const replyOf = ({ outcomes: [outcome] }: Delivered) => describeReply(outcome?.reply ?? assert.fail('no outcome'));

test('a domain none of whose hosts has an address bounces, and is not dead', async () => {
  const delivered = await deliver({});
  assert.match(replyOf(delivered), /^550 5\.4\.4 /);
  assert.deepEqual([delivered.dead, delivered.alive], [null, true]);
});

test('not when a policy has taken out a host: that may be the policy that is old', async () => {
  const delivered = await deliver({ allowed: ['two.test'] });
  assert.match(replyOf(delivered), /^451 /);
  assert.ok(delivered.dead);
});

test('DNS that does not answer for the hosts: 451 4.4.3, and dead', async () => {
  const delivered = await deliver({ addresses: 'trouble' });
  assert.match(replyOf(delivered), /^451 4\.4\.3 two\.test: DNS: /);
  assert.match(delivered.dead ?? '', /two\.test/);
});

test('hosts that nobody can connect to are dead, unless it is we who have no descriptors left', async () => {
  const refused = await deliver({ addresses: 'found' });
  assert.match(replyOf(refused), /^451 4\.4\.1 two\.test\[192\.0\.2\.1\]: connect: connection refused/);
  assert.ok(refused.dead);
  const ours = await deliver({ addresses: 'found', cause: 'too many open files (EMFILE)' });
  assert.match(replyOf(ours), /^451 4\.4\.1 /);
  assert.deepEqual([ours.dead, ours.alive], [null, false], 'nothing is known of the destination');
});
