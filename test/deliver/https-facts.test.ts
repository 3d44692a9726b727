// What is remembered of a host: that HTTPS is of no use there, and which messages are too large for it. SMTP takes over.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { createSecureContext } from 'node:tls';
import { Courier, type Delivered } from '../../src/deliver/courier.ts';
import { HttpsCarrier } from '../../src/deliver/https-carrier.ts';
import { MtaSts } from '../../src/deliver/mta-sts.ts';
import { TlsClient } from '../../src/deliver/secure.ts';
import { SmtpCarrier } from '../../src/deliver/smtp-carrier.ts';
import { formatReply } from '../../src/wire/reply.ts';
import { Authority } from '../peers/authority.ts';
import { accepted, answer, envelopeOf, HttpsServer, type Script } from '../peers/https-server.ts';
import { freePort } from '../peers/ports.ts';
import { TlsSmtpServer } from '../peers/tls-smtp-server.ts';
import { spoolOf } from './delivery.ts';

const authority = new Authority();
const ca = readFileSync(authority.path, 'latin1');
const certificate = authority.issue(['mx.two.test', 'mx.three.test']);
after(() => authority[Symbol.dispose]());

const minute = 60_000;

type Sending = Readonly<{ from?: string; to?: readonly string[]; wire?: string; domain?: string }>;

/** One host with both carriers, in time that stands until a test moves it. */
class Scene implements AsyncDisposable {
  now = 0;
  readonly https: HttpsServer;
  readonly smtp: TlsSmtpServer;
  readonly courier: Courier;

  private constructor(https: HttpsServer, smtp: TlsSmtpServer, port: number) {
    this.https = https;
    this.smtp = smtp;
    const clock = () => this.now;
    const tls = new TlsClient(createSecureContext({ ca, minVersion: 'TLSv1.2' }));
    this.courier = new Courier({
      dns: {
        mx: async name => ({ records: [{ preference: 10, exchange: `mx.${name}` }], ttl: 60 }),
        a: async () => ({ records: ['127.0.0.1'], ttl: 60 }),
        aaaa: async () => ({ absent: 'ENODATA' }),
      },
      sts: new MtaSts({
        source: { currentId: async () => ({ none: 'no record' }), fetch: async () => ({ trouble: 'none' }) },
        clock,
        report: () => undefined,
      }),
      https: new HttpsCarrier(https.port, tls, clock),
      smtp: new SmtpCarrier({ port, name: 'one.test', tls, clock }),
      clock,
      random: () => 0,
      ourNames: ['one.test'],
    });
  }

  static async set(script: Script = {}): Promise<Scene> {
    const https = await HttpsServer.listen(certificate, { script });
    const port = await freePort();
    return new Scene(https, await TlsSmtpServer.at('127.0.0.1', port, { certificate }), port);
  }

  async deliver({
    from = 'alice@one.test',
    to,
    wire = 'x\r\n',
    domain = 'two.test',
  }: Sending = {}): Promise<Delivered> {
    const content = await spoolOf(wire);
    const envelope = envelopeOf(from, to ?? [`bob@${domain}`]);
    const gone = new AbortController().signal;
    const mail = { domain, envelope, content, deadline: this.now + 240_000, gone };
    try {
      return await this.courier.deliver(mail, () => undefined);
    } finally {
      content.discard();
    }
  }

  /** The reply to a message for one recipient. */
  async reply(sending?: Sending): Promise<string> {
    const { outcomes } = await this.deliver(sending);
    return outcomes.map(({ reply }) => formatReply(reply).trimEnd()).join();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.courier.close();
    await this.https[Symbol.asyncDispose]();
    await this.smtp.close();
  }
}

const byHttps = '250 2.0.0 OK (HTTPS)';
const bySmtp = '250 2.0.0 OK (SMTP)';
const saying = (status: number, text = ''): Script => ({ request: peer => peer.write(answer(status, text)) });

const useless: [name: string, script: Script][] = [
  ['404', saying(404)],
  ['405', saying(405)],
  ['500', saying(500)],
  ['503', saying(503)],
  ['no TLS', { connection: peer => peer.reset() }],
  ['no answer', { request: peer => peer.reset() }],
];

for (const [name, script] of useless) {
  test(`after ${name} and a delivery by SMTP, HTTPS rests for 30 minutes`, { timeout: 10_000 }, async () => {
    await using scene = await Scene.set(script);
    assert.equal(await scene.reply(), bySmtp);
    const before = scene.https.peers.length;
    scene.https.script = {};
    for (const at of [0, 15, 29.99]) {
      scene.now = at * minute;
      assert.equal(await scene.reply(), bySmtp, `after ${at} minutes`);
    }
    assert.equal(scene.https.peers.length, before);
    assert.equal(await scene.reply({ domain: 'three.test' }), byHttps);
    scene.now = 30 * minute;
    assert.equal(await scene.reply(), byHttps);
  });
}

for (const [status, text] of [
  [400, '523 5.7.10 Encryption Needed: Invalid Unencrypted Mail'],
  [401, ''],
  [429, ''],
  [302, ''],
] as const) {
  test(`after ${status} HTTPS is tried with the next message`, { timeout: 10_000 }, async () => {
    await using scene = await Scene.set(saying(status, text));
    for (let n = 1; n <= 2; n++) {
      assert.equal(await scene.reply(), bySmtp);
      assert.equal(scene.https.requests.length, n);
    }
  });
}

test('HTTPS does not rest when SMTP refused the message', { timeout: 10_000 }, async () => {
  await using scene = await Scene.set(saying(404));
  scene.smtp.plan = stage => (stage === 'RCPT' ? '550 5.1.1 unknown user' : undefined);
  assert.equal(await scene.reply(), '550 5.1.1 unknown user (mx.two.test said)');
  scene.https.script = {};
  assert.equal(await scene.reply(), byHttps);
});

test('an SMTP connection that fails ends the rest at once', { timeout: 10_000 }, async () => {
  await using scene = await Scene.set(saying(404));
  assert.equal(await scene.reply(), bySmtp);
  scene.https.script = {};
  scene.smtp.plan = stage => (stage === 'greeting' ? '421 4.3.0 full' : undefined);
  for (const talk of scene.smtp.talks) talk.peer.socket.destroy();
  await scene.smtp.until(() => scene.smtp.open === 0);
  await scene.reply();
  assert.equal(await scene.reply(), byHttps);
});

test('a 413 is remembered: as large or larger by SMTP alone, smaller by HTTPS, and no time ends that', async () => {
  const limit = 1000;
  await using scene = await Scene.set({
    request: (peer, { length }) => peer.write(length > limit ? answer(413) : accepted),
  });
  const sized = (octets: number) => ({ wire: `${'x'.repeat(octets - 2)}\r\n` });
  assert.equal(await scene.reply(sized(5000)), bySmtp);
  assert.equal(scene.https.requests.length, 1);
  for (const octets of [5000, 5001, 100_000]) assert.equal(await scene.reply(sized(octets)), bySmtp);
  assert.equal(scene.https.requests.length, 1);
  assert.equal(await scene.reply(sized(1000)), byHttps);
  assert.equal(await scene.reply(sized(4999)), bySmtp);
  assert.equal(scene.https.requests.length, 3);
  assert.equal(await scene.reply(sized(4999)), bySmtp);
  scene.now = 60 * minute;
  assert.equal(await scene.reply(sized(5000)), bySmtp);
  assert.equal(scene.https.requests.length, 3);
  assert.equal(await scene.reply({ ...sized(900), domain: 'three.test' }), byHttps);
});

test('a 413 of which nothing but its head comes is remembered too', { timeout: 10_000 }, async () => {
  for (const how of ['end', 'reset'] as const) {
    const script: Script = {
      head(peer) {
        peer.pause();
        peer.write('HTTP/1.1 413 Too Large\r\nContent-Length: 100\r\nConnection: close\r\n\r\n');
        if (how === 'end') peer.end();
        else setTimeout(() => peer.reset(), 50);
      },
    };
    await using scene = await Scene.set(script);
    const wire = `${'0123456789'.repeat(500_000)}\r\n`;
    assert.equal(await scene.reply({ wire }), bySmtp);
    assert.equal(await scene.reply({ wire }), bySmtp);
    assert.equal(scene.https.peers.length, 1, how);
    scene.https.script = {};
    assert.equal(await scene.reply(), byHttps, 'small ones still go by HTTPS');
  }
});

test('a rest does not forget the size', { timeout: 10_000 }, async () => {
  await using scene = await Scene.set(saying(413));
  const wire = `${'x'.repeat(5000)}\r\n`;
  assert.equal(await scene.reply({ wire }), bySmtp);
  scene.https.script = saying(500);
  assert.equal(await scene.reply(), bySmtp);
  scene.https.script = {};
  scene.now = 31 * minute;
  assert.equal(await scene.reply(), byHttps);
  assert.equal(await scene.reply({ wire }), bySmtp);
});

test('an address that is not ASCII goes by SMTP alone', { timeout: 10_000 }, async () => {
  await using scene = await Scene.set();
  const utf8 = Buffer.from('dörte', 'utf8').toString('latin1');
  for (const sending of [
    { to: [`${utf8}@two.test`] },
    { from: `${utf8}@one.test` },
    { to: ['bob@two.test', `${utf8}@two.test`] },
  ])
    assert.match(await scene.reply(sending), /^250 2\.0\.0 OK \(SMTP\)/);
  assert.equal(scene.https.peers.length, 0);
  assert.equal(await scene.reply(), byHttps);
});

test('what failed by HTTPS is in the outcome when SMTP fails too', { timeout: 10_000 }, async () => {
  await using scene = await Scene.set(saying(400, '523 5.7.10 Encryption Needed'));
  scene.smtp.plan = stage => (stage === 'message' ? '523 5.7.10 Encryption Needed' : undefined);
  const { outcomes } = await scene.deliver({ to: ['bob@two.test', 'bob@two.test'] });
  assert.equal(outcomes.length, 2);
  for (const outcome of outcomes) {
    assert.equal(formatReply(outcome.reply), '523 5.7.10 Encryption Needed (mx.two.test said)\r\n');
    assert.ok(outcome.kind === 'bounced');
    assert.deepEqual(
      outcome.failures.map(({ carrier, phase }) => `${carrier} ${phase}`),
      ['HTTPS HTTPS', 'SMTP end of data'],
    );
    assert.match(outcome.failures[0]?.cause ?? '', /^400 523 5\.7\.10/);
  }
});
