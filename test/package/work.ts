// A program at its work, in each mode: its first line, what the kernel calls it, one message, and its end.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { Binary, type Launch, type Mode } from '../loopback/binary.ts';
import { sendOne } from '../loopback/client.ts';
import { author, letter, publish, sealedBy } from '../loopback/incoming-mail.ts';
import { encrypted, plain } from '../loopback/mail.ts';
import { assertDelivered, NextHop } from '../loopback/next-hop.ts';
import { Site } from '../loopback/site.ts';
import { undoAtEnd } from '../loopback/tidy.ts';
import { deliver } from '../loopback/transport-site.ts';
import { Authority } from '../peers/authority.ts';
import { DnsServer } from '../peers/dns-server.ts';
import { freePort } from '../peers/ports.ts';
import { TlsSmtpServer } from '../peers/tls-smtp-server.ts';
import { version } from './packages.ts';

export type Start = Omit<Launch, 'args'>;
export const modes: readonly Mode[] = ['outgoing', 'incoming', 'transport'];

const taken = '250 2.0.0 Ok: queued as 42';
const names: Readonly<Record<Mode, string>> = { incoming: 'Incoming', outgoing: 'Outgoing', transport: 'Transport' };

export async function works(mode: Mode, start: Start): Promise<void> {
  await { outgoing: outgoingWorks, incoming: incomingWorks, transport: transportWorks }[mode](start);
}

/** Started; the first thing it says is that it serves. */
export async function serve(site: Site, mode: Mode, start: Start): Promise<Binary> {
  const filter = await Binary.serve(site, start, mode);
  assert.equal(filter.log.all[0], `INFO ${names[mode]}: entering serving loop (filtermail ${version})`);
  assert.equal(readFileSync(`/proc/${filter.pid}/comm`, 'latin1'), 'filtermail\n');
  assert.ok(!threads(filter.pid).includes('SignalInspector\n'), 'SIGUSR1 would open a debugger');
  return filter;
}

function threads(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).map(task => readFileSync(`/proc/${pid}/task/${task}/comm`, 'latin1'));
}

/** What is wrong with a command line is told in one line. */
export async function tellsUsage(start: Start): Promise<void> {
  for (const args of [[], ['/nowhere'], ['/nowhere', 'sideways'], ['--version']]) {
    const filter = Binary.launch({ args, ...start });
    assert.equal(await filter.ended(), 64, `exit status after ${args.join(' ')}`);
    assert.deepEqual(filter.log.all, ['usage: filtermail <config> incoming|outgoing|transport']);
    assert.equal(filter.stdout, '');
  }
}

async function outgoingWorks(start: Start): Promise<void> {
  const hop = await NextHop.start();
  const site = await Site.make(hop.port);
  const filter = await serve(site, 'outgoing', start);
  const mail = encrypted();
  assert.equal(await sendOne(site.port, mail), taken);
  assertDelivered(hop, mail.wire);
  assert.match(await sendOne(site.port, plain('Hello')), /^523 /);
  await filter.stop();
}

async function incomingWorks(start: Start): Promise<void> {
  const hop = await NextHop.start();
  const dns = await ownDns();
  const two = author('two.test');
  publish(dns, two);
  const site = await Site.make(hop.port, { filtermail_dns_servers: dns.address });
  const filter = await serve(site, 'incoming', start);
  const mail = letter(sealedBy(two));
  assert.equal(await sendOne(site.incomingPort, mail), taken);
  assertDelivered(hop, mail.wire);
  await filter.stop();
}

/** The domain announces an MTA-STS policy that nobody serves: to look for it is work of the part that is loaded last. */
async function transportWorks(start: Start): Promise<void> {
  const [dns, port] = [await ownDns(), await freePort()];
  const [domain, host, address] = ['two.test', 'mx.two.test', '127.77.0.2'];
  using authority = new Authority();
  const server = await TlsSmtpServer.at(address, port, { certificate: authority.issue([host]) });
  undoAtEnd(() => void server.close());
  dns.mx(domain, [{ preference: 10, exchange: host }]);
  dns.txt(`_mta-sts.${domain}`, ['v=STSv1; id=1;']);
  for (const name of [host, `mta-sts.${domain}`]) {
    dns.a(name, [address]);
    dns.aaaa(name, 'NODATA');
  }
  const site = await Site.make(await freePort(), {
    filtermail_dns_servers: dns.address,
    filtermail_remote_smtp_port: port,
    filtermail_remote_https_port: await freePort(),
  });
  const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...inherited } = process.env;
  const trusting = { ...(start.env ?? inherited), NODE_EXTRA_CA_CERTS: authority.path };
  const filter = await serve(site, 'transport', { ...start, env: trusting });
  const mail = plain('Hello', 'a@one.test', [`u@${domain}`]);
  assert.deepEqual(await deliver(site.lmtpPort, mail), ['250 2.0.0 OK (SMTP)']);
  assert.match(await filter.log.find(/MTA-STS/), /policy of two\.test: .*(?:ECONNREFUSED|certificate)/);
  await filter.stop();
}

async function ownDns(): Promise<DnsServer> {
  const dns = await DnsServer.listen();
  undoAtEnd(() => void dns[Symbol.asyncDispose]());
  return dns;
}
