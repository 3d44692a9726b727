// What many and large messages over HTTPS cost, and that none is lost or told to be delivered when hosts fail at random.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { beforeEach, test } from 'node:test';
import fc from 'fast-check';
import { accepted, answer, HttpsServer, type Script } from '../peers/https-server.ts';
import { assertLog } from './binary.ts';
import type { Mail } from './client.ts';
import { undoAtEnd } from './tidy.ts';
import { deliverOver, TransportSite } from './transport-site.ts';

const byHttps = '250 2.0.0 OK (HTTPS)';
const bySmtp = '250 2.0.0 OK (SMTP)';

let world: TransportSite;
beforeEach(async () => {
  world = await TransportSite.start();
});

async function listening(address: string, script: Script = {}, keepsBodies = false): Promise<HttpsServer> {
  const https = await HttpsServer.listen(world.certificate, {
    host: address,
    port: world.httpsPort,
    script,
    keepsBodies,
  });
  undoAtEnd(() => void https[Symbol.asyncDispose]());
  return https;
}

function publish(domain: string, host: string, address: string): void {
  world.dns.mx(domain, [{ preference: 10, exchange: host }]);
  world.address(host, address);
}

const line = `${'0123456789abcdef'.repeat(4)}\r\n`;
const header = 'From: <alice@one.test>\r\nSubject: [...]\r\n\r\n';
const large = `${header}${line.repeat(Math.floor(30_000_000 / line.length))}`;
const digest = createHash('sha256').update(large, 'latin1').digest('hex');
const largeWire = Buffer.from(`${large}.\r\n`, 'latin1');

test('30 MB to 20 recipients in 20 domains: one spool, no copies', { timeout: 60_000 }, async () => {
  const address = world.freeAddress();
  const https = await listening(address);
  const domains = Array.from({ length: 20 }, (_, n) => `large${n}.test`);
  for (const [n, domain] of domains.entries()) publish(domain, `large${n}.hosts.test`, address);
  const mail: Mail = { from: 'alice@one.test', to: domains.map(domain => `bob@${domain}`), wire: largeWire };
  const replies = await world.deliver(mail, { patience: 50_000 });
  assert.deepEqual(
    replies,
    domains.map(() => byHttps),
  );
  assert.equal(https.complete.length, 20);
  for (const request of https.requests) assert.equal(request.digest(), digest);
  const peak = Math.round(world.filter.memory('VmHWM'));
  assert.ok(peak < 170, `${peak} MiB`);
  await world.filter.stop();
});

test('20 messages of 30 MB at once', { timeout: 60_000 }, async () => {
  const address = world.freeAddress();
  const https = await listening(address);
  const domains = Array.from({ length: 5 }, (_, n) => `many${n}.test`);
  for (const [n, domain] of domains.entries()) publish(domain, `many${n}.hosts.test`, address);
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      world.deliver(
        { from: 'alice@one.test', to: [`bob@${domains[n % domains.length]}`], wire: largeWire },
        { patience: 50_000 },
      ),
    ),
  );
  for (const replies of answers) assert.deepEqual(replies, [byHttps]);
  for (const request of https.requests) assert.equal(request.digest(), digest);
  const peak = Math.round(world.filter.memory('VmHWM'));
  assert.ok(peak < 200, `${peak} MiB`);
  await world.filter.stop();
});

type Fault = Readonly<{ stage: keyof Script; how: 'end' | 'reset' | 'answer'; status: number }>;

const fault: fc.Arbitrary<Fault> = fc.record({
  stage: fc.constantFrom('connection', 'secure', 'head', 'body', 'request', 'request'),
  how: fc.constantFrom('end', 'reset', 'answer'),
  status: fc.constantFrom(200, 200, 200, 200, 400, 404, 413, 429, 500, 503),
});

test('whatever hosts do, each message is delivered as it is told, and none is lost', { timeout: 60_000 }, async () => {
  const taken = new Map<string, number>();
  const note = (body: string) => taken.set(body, (taken.get(body) ?? 0) + 1);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fault, { minLength: 1, maxLength: 12 }),
      fc.constantFrom('250 2.0.0 Ok', '451 4.3.0 later', '550 5.7.1 no'),
      fc.integer({ min: 1, max: 6 }),
      async (faults, last, count) => {
        const { server: smtp, domain, address } = await world.remote();
        let turn = 0;
        const dead = new WeakSet<object>();
        const act: Required<Script>['request'] = (peer, request) => {
          if (dead.has(peer)) return;
          const plan = faults[turn++ % faults.length];
          if (plan === undefined || plan.how !== 'answer' || plan.status === 200) {
            note(request.body.toString('latin1'));
            peer.write(accepted);
          } else peer.write(answer(plan.status));
        };
        const broken = (stage: keyof Script) => (peer: Parameters<typeof act>[0]) => {
          const plan = faults[turn % faults.length];
          if (dead.has(peer) || plan?.stage !== stage || plan.how === 'answer') return false;
          turn++;
          dead.add(peer);
          peer[plan.how]();
          return true;
        };
        await using https = await HttpsServer.listen(world.certificate, {
          host: address,
          port: world.httpsPort,
          script: {
            connection: peer => (broken('connection')(peer) ? undefined : peer.secure()),
            secure: peer => void broken('secure')(peer),
            head: peer => void broken('head')(peer),
            body: peer => void broken('body')(peer),
            request: (peer, request) => (broken('request')(peer) ? undefined : act(peer, request)),
          },
        });
        smtp.plan = stage => (stage === 'message' ? last : undefined);
        const told = await Promise.all(
          Array.from({ length: count }, async (_, n) => {
            const body = `${header}${domain} ${n}\r\n`;
            const client = await world.lmtp();
            const mail = { from: 'alice@one.test', to: [`bob@${domain}`], wire: Buffer.from(`${body}.\r\n`, 'latin1') };
            const [reply = ''] = await deliverOver(client, mail, { patience: 10_000 });
            await client.quit();
            return { body, reply };
          }),
        );
        for (const { body, reply } of told) {
          const overHttps = taken.get(body) ?? 0;
          const overSmtp = smtp.messages.filter(message => message === body).length;
          if (reply === byHttps) assert.deepEqual([overHttps, overSmtp], [1, 0], reply);
          else if (reply === bySmtp) assert.deepEqual([overHttps, overSmtp, last.slice(0, 3)], [0, 1, '250'], reply);
          else assert.deepEqual([overHttps, reply.slice(0, 3)], [0, last.slice(0, 3)], reply);
        }
        assert.ok(https.peers.length > 0);
        await smtp.close();
      },
    ),
    { numRuns: 40 },
  );
  assertLog(world.filter.log.all);
  await world.filter.stop();
});
