// A relay's way out as chatmail sets it up: Postfix hands mail by LMTP to the real filter, which brings it to another Postfix by SMTP with
// STARTTLS, and by HTTPS to nginx before an incoming filter.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Binary } from '../loopback/binary.ts';
import { eventually } from '../loopback/eventually.ts';
import { Site } from '../loopback/site.ts';
import { Authority } from '../peers/authority.ts';
import { DnsServer } from '../peers/dns-server.ts';
import { freePorts } from '../peers/ports.ts';
import { sendOne } from './client.ts';
import { readable, sealed } from './mail.ts';
import { Nginx, whyNoNginx } from './nginx.ts';
import { Postfix, whyNoPostfix } from './postfix.ts';
import { refuse } from './postfix-setup.ts';
import { assertIntact } from './relay.ts';
import { type Delivery, Sink } from './sink.ts';

const alice = 'alice@one.test';
const tlsmgr = 'tlsmgr unix - - n 1000? 1 tlsmgr';
const lmtp = 'lmtp-filtermail unix - - n - 500 lmtp\n  -o { syslog_name = postfix/lmtp-filtermail }';

let dns: DnsServer;
let authority: Authority;
let nginx: Nginx;
let incoming: Binary;
let site: Site;
let filter: Binary;
let environment: Record<string, string | undefined>;
/** Ours, and the one at two.test. */
let postfix: Postfix;
let elsewhere: Postfix;
/** What is for our own mailboxes, what went to two.test by SMTP, and what came to https.test. */
let inbox: Sink;
let two: Sink;
let web: Sink;
let entry: number;

const reason = whyNoPostfix() ?? whyNoNginx();
if (reason && process.env.CI === 'true')
  test('the way out', () => assert.fail(`tests against Postfix left out: ${reason}`));

async function startElsewhere(): Promise<number> {
  const certificate = authority.issue(['mx.two.test']);
  const ports = await freePorts('entryPort', 'filterPort', 'reinjectPort');
  elsewhere = await Postfix.start({
    ...{ domain: 'two.test', direction: 'outgoing', ...ports, sinkPort: two.port },
    services: [tlsmgr],
    reinject: [
      'smtpd_tls_security_level=may',
      `smtpd_tls_cert_file=${certificate.certPath}`,
      `smtpd_tls_key_file=${certificate.keyPath}`,
      refuse({ 'nobody@two.test': '550 5.1.1 No such user', 'full@two.test': '451 4.2.2 Mailbox full' }),
    ],
  });
  return ports.reinjectPort;
}

async function startPostfix(): Promise<void> {
  const ports = await freePorts('entryPort', 'filterPort', 'reinjectPort');
  entry = ports.reinjectPort;
  postfix = await Postfix.start({
    ...{ domain: 'one.test', direction: 'outgoing', ...ports, sinkPort: inbox.port },
    services: [lmtp],
    main: {
      relayhost: '',
      virtual_mailbox_domains: 'one.test',
      virtual_transport: `lmtp:inet:127.0.0.1:${inbox.port}`,
      default_transport: `lmtp-filtermail:inet:[127.0.0.1]:${site.lmtpPort}`,
      'lmtp-filtermail_initial_destination_concurrency': 10_000,
      'lmtp-filtermail_destination_concurrency_limit': 10_000,
      // Five minutes where it matters.
      minimal_backoff_time: '1s',
      queue_run_delay: '1s',
    },
  });
}

function host(domain: string, name: string, address: string): void {
  dns.mx(domain, [{ preference: 10, exchange: name }]);
  dns.a(name, [address]);
  dns.aaaa(name, 'NODATA');
}

async function startFilter(): Promise<void> {
  filter = await Binary.serve(site, { env: environment }, 'transport');
}

describe('the way out', { skip: reason ?? false }, () => {
  before(async () => {
    authority = new Authority();
    dns = await DnsServer.listen();
    [inbox, two, web] = [await Sink.start(), await Sink.start(), await Sink.start()];
    const smtpPort = await startElsewhere();
    const receiving = await Site.make(web.port, { mail_domain: 'https.test' });
    incoming = await Binary.serve(receiving, { env: { ...process.env, FILTERMAIL_SKIP_DKIM: '1' } }, 'incoming');
    nginx = await Nginx.start(receiving.httpPort, { chatmail: {} });
    site = await Site.make(1, {
      // The certificate of nginx is for one.test, and mail is not sent to a host that has our own name.
      mail_domain: 'sender.test',
      filtermail_dns_servers: dns.address,
      filtermail_remote_smtp_port: smtpPort,
      filtermail_remote_https_port: nginx.tlsPort('chatmail'),
    });
    const trusted = join(authority.directory, 'both.pem');
    writeFileSync(trusted, readFileSync(authority.path, 'latin1') + nginx.certificate);
    const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, ...rest } = process.env;
    environment = { ...rest, NODE_EXTRA_CA_CERTS: trusted };
    host('two.test', 'mx.two.test', '127.0.0.1');
    host('https.test', 'one.test', '127.0.0.1');
    host('dead.test', 'mx.dead.test', '127.0.79.1');
    await startFilter();
    await startPostfix();
  });

  after(async () => {
    await postfix?.end();
    await elsewhere?.end();
    await nginx?.stop();
    await filter?.stop();
    await incoming?.stop();
    for (const sink of [inbox, two, web]) await sink?.stop();
    await dns?.[Symbol.asyncDispose]();
    authority?.[Symbol.dispose]();
  });

  const queueId = (reply: string) => /queued as (\w+)/.exec(reply)?.[1] ?? assert.fail(reply);

  async function send(to: readonly string[], message: Buffer, rcptParameters = ''): Promise<string> {
    return queueId(await sendOne(entry, { from: alice, to, message, rcptParameters: () => rcptParameters }));
  }

  const status = async (id: string, to: string, mark: number) =>
    await postfix.log.find(new RegExp(`lmtp-filtermail/lmtp.*${id}: to=<${to}>`), mark);

  async function arrived(sink: Sink, count: number): Promise<Delivery[]> {
    await eventually(() => assert.ok(sink.deliveries.length >= count, `${sink.deliveries.length} of ${count}`), 20_000);
    return sink.take();
  }

  test('by SMTP with STARTTLS to another Postfix', async () => {
    const mark = postfix.log.mark;
    const message = sealed({ from: alice });
    const id = await send(['bob@two.test'], message);
    assert.match(await status(id, 'bob@two.test', mark), /status=sent \(250 2\.0\.0 OK \(SMTP\)\)/);
    const [delivery] = await arrived(two, 1);
    assertIntact(delivery, message);
    await filter.log.find(/sent by SMTP to mx\.two\.test\[127\.0\.0\.1\], TLSv1\.3 \(1 to two\.test/);
  });

  test('by HTTPS to an incoming filter behind nginx', async () => {
    const mark = postfix.log.mark;
    const message = sealed({ from: alice });
    const id = await send(['bob@https.test'], message);
    assert.match(await status(id, 'bob@https.test', mark), /status=sent \(250 2\.0\.0 OK \(HTTPS\)\)/);
    const [delivery] = await arrived(web, 1);
    assertIntact(delivery, message);
  });

  test('of several recipients each gets what is due to it: sent, bounced with the text of the host that refused it, deferred', async () => {
    const mark = postfix.log.mark;
    const message = sealed({ from: alice });
    const to = ['bob@two.test', 'nobody@two.test', 'full@two.test', 'bob@https.test', 'bob@dead.test'];
    const id = await send(to, message);
    assert.match(await status(id, 'bob@two.test', mark), /status=sent \(250 2\.0\.0 OK \(SMTP\)\)/);
    assert.match(await status(id, 'bob@https.test', mark), /status=sent \(250 2\.0\.0 OK \(HTTPS\)\)/);
    const bounced = await status(id, 'nobody@two.test', mark);
    assert.match(bounced, /dsn=5\.1\.1, status=bounced .*said: 550 5\.1\.1 .*No such user \(mx\.two\.test said\)/);
    const deferred = await status(id, 'full@two.test', mark);
    assert.match(deferred, /dsn=4\.2\.2, status=deferred .*said: 451 4\.2\.2 .*Mailbox full \(mx\.two\.test said\)/);
    const dead = await status(id, 'bob@dead.test', mark);
    assert.match(
      dead,
      /dsn=4\.4\.1, status=deferred .*451 4\.4\.1 mx\.dead\.test\[127\.0\.79\.1\]: connect: connection refused/,
    );
    const [report, ...more] = await arrived(inbox, 1);
    assert.deepEqual(more, []);
    const text = report?.message.toString('latin1') ?? '';
    assert.match(text, /^Final-Recipient: rfc822; nobody@two\.test\r$/m);
    assert.match(text, /mx\.two\.test\s+said/);
    assert.doesNotMatch(text, /^Final-Recipient: rfc822; (?!nobody)/m);
    assert.deepEqual(
      (await arrived(two, 1)).map(({ to }) => to.map(({ address }) => address)),
      [['bob@two.test']],
    );
    await arrived(web, 1);
  });

  test('NOTIFY=SUCCESS is answered by Postfix itself', async () => {
    const id = await send(['bob@two.test'], sealed({ from: alice }), 'NOTIFY=SUCCESS');
    const [report] = await arrived(inbox, 1);
    const text = report?.message.toString('latin1') ?? '';
    assert.match(text, /^Action: relayed\r$/m);
    assert.match(text, /^Final-Recipient: rfc822; bob@two\.test\r$/m);
    assert.ok(id);
    await arrived(two, 1);
  });

  test('20 MB, by SMTP where nginx takes 1 MB only', async () => {
    const message = sealed({ from: alice, size: 15_000_000 });
    assert.ok(message.length > 20_000_000);
    const mark = postfix.log.mark;
    const id = await send(['bob@two.test'], message);
    assert.match(await status(id, 'bob@two.test', mark), /status=sent \(250 2\.0\.0 OK \(SMTP\)\)/);
    const [delivery] = await arrived(two, 1);
    assertIntact(delivery, message);
  });

  test('a filter that is started again in the middle of a load loses nothing and sends nothing twice', async t => {
    two.take();
    const mark = postfix.log.mark;
    const names = Array.from({ length: 200 }, (_, n) => `load${n}@two.test`);
    const ids: string[] = [];
    const began = performance.now();
    const sending = Promise.all(
      Array.from({ length: 10 }, async (_, client) => {
        for (let n = client; n < names.length; n += 10) {
          const to = names[n] ?? '';
          ids.push(await send([to], readable({ from: alice, subject: to }, 'hello\r\n')));
        }
      }),
    );
    await postfix.log.until(
      () =>
        postfix.log.since(mark).filter(line => line.includes('status=sent (250 2.0.0 OK (SMTP))')).length >= 30 ||
        undefined,
      'no load',
    );
    filter.signal('SIGTERM');
    assert.equal(await filter.ended(11_000), 0);
    await startFilter();
    await sending;
    await eventually(() => {
      const reached = new Set(two.deliveries.flatMap(({ to }) => to.map(({ address }) => address)));
      assert.equal(names.filter(name => !reached.has(name)).length, 0, 'missing');
    }, 30_000);
    const deferred = postfix.log.since(mark).filter(line => /load\d+@two\.test.*status=deferred/.test(line));
    const taken = two
      .take()
      .flatMap(({ to }) => to.map(({ address }) => address))
      .filter(address => address.startsWith('load'));
    t.diagnostic(
      `${deferred.length} deferrals, ${taken.length} deliveries of ${names.length}, ${Math.round(performance.now() - began)} ms`,
    );
    t.diagnostic(
      [...new Set(deferred.map(line => /status=deferred (.*)/.exec(line)?.[1] ?? ''))].slice(0, 5).join('\n'),
    );
    assert.equal(taken.length, names.length, 'none twice');
    assert.equal(postfix.log.since(mark).filter(line => /status=bounced/.test(line)).length, 0);
  });
});
