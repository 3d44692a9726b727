// From the LMTP client to an HTTPS server and, where that does not take the message, to SMTP at the same host: replies, log, octets.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { accepted, answer, HttpsServer, type Script } from '../peers/https-server.ts';
import type { TlsSmtpServer } from '../peers/tls-smtp-server.ts';
import { assertLog } from './binary.ts';
import type { Mail } from './client.ts';
import { eventually } from './eventually.ts';
import { undoAtEnd } from './tidy.ts';
import { deliverOver, TransportSite } from './transport-site.ts';

const byHttps = '250 2.0.0 OK (HTTPS)';
const bySmtp = '250 2.0.0 OK (SMTP)';
const text = 'From: <alice@one.test>\r\nSubject: [...]\r\n\r\n..dot\r\n\xff\x80 hello\r\n';

let world: TransportSite;
before(async () => {
  world = await TransportSite.start();
});

function mail(to: readonly string[], wire = text, from = 'alice@one.test'): Mail {
  return { from, to, wire: Buffer.from(`${wire}.\r\n`, 'latin1') };
}

type Remote = Readonly<{ domain: string; host: string; address: string; https: HttpsServer; smtp: TlsSmtpServer }>;

/** A host with both, SMTP taking everything. */
async function remote(script: Script = {}): Promise<Remote> {
  const { server: smtp, ...rest } = await world.remote();
  const https = await HttpsServer.listen(world.certificate, { host: rest.address, port: world.httpsPort, script });
  undoAtEnd(() => void https[Symbol.asyncDispose]());
  return { ...rest, https, smtp };
}

test('a message by HTTPS: the reply, the request, the line in the log', async () => {
  const { domain, host, address, https, smtp } = await remote();
  const mark = world.filter.log.all.length;
  const to = [`bob@${domain}`, `carol@${domain.toUpperCase()}`, `bob@${domain}`];
  assert.deepEqual(await world.deliver(mail(to)), [byHttps, byHttps, byHttps]);
  const [request] = https.requests;
  assert.ok(request);
  assert.equal(request.lines[0], 'POST /mxdeliv HTTP/1.1');
  assert.deepEqual(request.values('Host'), [host]);
  assert.deepEqual(request.values('X-MAIL-FROM'), ['alice@one.test']);
  assert.deepEqual(request.values('X-MAIL-TO'), to);
  assert.equal(request.body.toString('latin1'), text);
  assert.equal(https.peers[0]?.serverName, host);
  assert.deepEqual([https.requests.length, smtp.talks.length], [1, 0]);
  const line = await world.told(domain, mark);
  for (const part of ['HTTPS', host, `[${address}]`, 'TLSv1.3', `${text.length} octets`, ' s)'])
    assert.ok(line.includes(part), `${part} in ${line}`);
});

test('messages one after the other go over one connection, of one LMTP connection or of many', async () => {
  const { domain, https } = await remote();
  const client = await world.lmtp();
  for (let n = 0; n < 3; n++) assert.deepEqual(await deliverOver(client, mail([`bob@${domain}`])), [byHttps]);
  await client.quit();
  for (let n = 0; n < 3; n++) assert.equal(await world.answer(mail([`bob@${domain}`])), byHttps);
  assert.deepEqual([https.peers.length, https.requests.length], [1, 6]);
});

test('the null sender and odd addresses', async () => {
  const { domain, https } = await remote();
  const locals = ['"a b"', '"a<b"', '"a,b"', "o'x+y=z", 'a\\,b', '"\\"q\\""'];
  for (const local of locals) {
    const recipient = `${local}@${domain}`;
    assert.equal(await world.answer(mail([recipient], text, '')), byHttps, recipient);
    assert.deepEqual(https.requests.at(-1)?.values('X-MAIL-TO'), [recipient]);
    assert.deepEqual(https.requests.at(-1)?.values('X-MAIL-FROM'), ['']);
    assert.equal(https.requests.at(-1)?.lines.filter(line => /^x-mail/i.test(line)).length, 2);
  }
});

const fallbacks: [name: string, script: Script][] = [
  ['400', { request: peer => peer.write(answer(400, '523 5.7.10 Encryption Needed')) }],
  ['a page', { request: peer => peer.write(answer(200, '<html>welcome</html>')) }],
  ['404', { request: peer => peer.write(answer(404)) }],
  ['413', { head: peer => peer.write(answer(413)), request: () => undefined }],
  ['503', { request: peer => peer.write(answer(503)) }],
  ['302', { request: peer => peer.write(answer(302, '', 'Location: /')) }],
  ['101', { request: peer => peer.end('HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n') }],
  ['no HTTP', { request: peer => peer.end('220 mx ESMTP\r\n') }],
  ['a reset at once', { connection: peer => peer.reset() }],
  ['a reset in the body', { body: peer => peer.reset() }],
  ['no answer', { request: peer => peer.end() }],
];

for (const [name, script] of fallbacks) {
  test(`after ${name} SMTP delivers, once`, { timeout: 20_000 }, async () => {
    const { domain, https, smtp } = await remote(script);
    assert.equal(await world.answer(mail([`bob@${domain}`]), { patience: 10_000 }), bySmtp);
    assert.deepEqual(smtp.messages, [text]);
    assert.ok(https.peers.length > 0);
  });
}

test('both refuse: the reply is that of SMTP, a recipient each, the log tells both', async () => {
  const { domain, host, smtp } = await remote({ request: peer => peer.write(answer(400, '550 5.1.1 no such user')) });
  smtp.plan = (stage, _talk, line) => (stage === 'RCPT' && line.includes('bob') ? '550 5.1.1 no bob' : undefined);
  const mark = world.filter.log.all.length;
  const replies = await world.deliver(mail([`bob@${domain}`, `carol@${domain}`, `bob@${domain}`]));
  const refusal = `550 5.1.1 no bob (${host} said)`;
  assert.deepEqual(replies, [refusal, bySmtp, refusal]);
  const line = await world.filter.log.find(/bounced/, mark);
  for (const part of ['HTTPS', '400 550 5.1.1 no such user', 'SMTP', 'RCPT', 'no bob', host])
    assert.ok(line.includes(part), `${part} in ${line}`);
});

test('neither can be used: 451 with the failure of SMTP, the log tells both', async () => {
  const { domain, host, https, smtp } = await remote({ connection: peer => peer.reset() });
  smtp.plan = stage => (stage === 'greeting' ? '421 4.3.2 too busy' : undefined);
  const mark = world.filter.log.all.length;
  const reply = await world.answer(mail([`bob@${domain}`]));
  assert.match(reply, new RegExp(`^451 4\\.4\\.1 ${RegExp.escape(host)}\\[.*\\]: greeting: 421 4\\.3\\.2 too busy`));
  const line = await world.told(domain, mark);
  assert.match(line, /"HTTPS: .*(?:TLS|connect): .*"SMTP: .*greeting: 421/);
  assert.ok(https.peers.length > 0);
});

test('what a server says cannot break the log or the reply', async () => {
  const nasty = '550 5.1.1 a\rb\x1b[31m\0 \xff\x7f\tERROR fake';
  const { domain, smtp } = await remote({ request: peer => peer.write(answer(400, `${nasty}\r\nERROR forged line`)) });
  smtp.plan = stage => (stage === 'greeting' ? '421 4.3.2 no' : undefined);
  const mark = world.filter.log.all.length;
  const reply = await world.answer(mail([`bob@${domain}`]));
  assert.match(reply, /^451 4\.4\.1 [\x20-\x7e\x80-\xff]+$/);
  await world.told(domain, mark);
  assertLog(world.filter.log.all);
  assert.deepEqual(
    world.filter.log.all.filter(line => line.startsWith('ERROR')),
    [],
  );
});

test('each domain of a transaction goes its own way, replies in order', async () => {
  const one = await remote();
  const two = await remote({ request: peer => peer.write(answer(404)) });
  const three = await remote({ connection: peer => peer.reset() });
  three.smtp.plan = stage => (stage === 'message' ? '554 5.7.1 no' : undefined);
  const to = [`a@${three.domain}`, `b@${one.domain}`, `c@${two.domain}`, `d@${one.domain}`, `e@${three.domain}`];
  const refusal = `554 5.7.1 no (${three.host} said)`;
  assert.deepEqual(await world.deliver(mail(to)), [refusal, byHttps, bySmtp, byHttps, refusal]);
});

test('address literals and domains with a leading underscore accept any certificate', async () => {
  const stranger = world.authority.issue(['nobody.test'], -1);
  for (const [domain, listening] of [
    ['[127.3.0.1]', '127.3.0.1'],
    ['[IPv6:::1]', '::1'],
    ['_relay.test', '127.3.0.2'],
  ] as const) {
    await using https = await HttpsServer.listen(stranger, { host: listening, port: world.httpsPort });
    if (domain.startsWith('_')) {
      world.dns.mx(domain, [{ preference: 10, exchange: 'mx.odd.test' }]);
      world.address('mx.odd.test', listening);
    }
    assert.equal(await world.answer(mail([`bob@${domain}`])), byHttps, domain);
    const expected = { '[127.3.0.1]': '127.3.0.1', '[IPv6:::1]': '[::1]', '_relay.test': 'mx.odd.test' }[domain];
    assert.deepEqual(https.requests[0]?.values('Host'), [expected]);
  }
});

test('a bad certificate: nothing is said over HTTPS', async () => {
  for (const bad of [world.authority.issue(['other.test']), world.authority.issue(['*.hosts.test'], -1)]) {
    const { server: smtp, ...rest } = await world.remote();
    await using https = await HttpsServer.listen(bad, { host: rest.address, port: world.httpsPort });
    assert.equal(await world.answer(mail([`bob@${rest.domain}`])), bySmtp);
    assert.deepEqual([https.requests.length, smtp.messages.length], [0, 1]);
  }
});

for (const [phase, script, reached] of [
  ['TLS', { connection: peer => peer.hold() }, https => https.peers[0]?.greeted === true],
  ['the body', { head: peer => peer.pause() }, https => https.requests.length === 1],
] as [string, Script, (https: HttpsServer) => boolean][]) {
  for (const octets of [100, 20_000_000]) {
    if (phase === 'the body' && octets === 100) continue;
    test(`the LMTP client goes away during ${phase}: nothing is delivered, ${octets} octets`, async () => {
      const { domain, https, smtp } = await remote(script);
      const descriptors = world.filter.descriptors().length;
      const client = await world.lmtp();
      await client.open({ from: 'alice@one.test', to: [`bob@${domain}`] });
      void client.write(Buffer.from(`Subject: x\r\n\r\n${'x'.repeat(octets)}\r\n.\r\n`));
      await https.until(() => reached(https));
      client.reset();
      await world.filter.descriptorsBackTo(descriptors, 3000);
      https.peers[0]?.resume();
      await https.until(() => https.open === 0);
      assert.deepEqual([https.complete.length, smtp.talks.length], [0, 0]);
    });
  }
}

test('the LMTP client goes away when all is out: the answer is awaited, SMTP is not tried after a refusal', async () => {
  const { domain, https, smtp } = await remote({ request: () => undefined });
  const client = await world.lmtp();
  await client.open({ from: 'alice@one.test', to: [`bob@${domain}`] });
  void client.write(Buffer.from(`${text}.\r\n`, 'latin1'));
  await https.until(() => https.complete.length === 1);
  const descriptors = world.filter.descriptors().length;
  client.reset();
  await world.filter.descriptorsBackTo(descriptors - 1);
  const mark = world.filter.log.all.length;
  https.peers[0]?.write(answer(400, '451 4.3.0 later'));
  await world.filter.log.find(new RegExp(RegExp.escape(domain)), mark);
  https.script = { request: peer => peer.write(accepted) };
  assert.equal(await world.answer(mail([`carol@${domain}`])), byHttps);
  assert.deepEqual([https.complete.length, smtp.talks.length], [2, 0]);
});

test('afterwards the process is as it was', async () => {
  await eventually(() => assert.deepEqual(world.filter.spoolFiles(world.site), []));
  await world.filter.stop();
});
