// STARTTLS towards remote servers (RFC 3207): who is believed, what is refused, and what was said in plain text counts for nothing.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { Authority } from '../peers/authority.ts';
import { TlsSmtpServer } from '../peers/tls-smtp-server.ts';
import { plain } from './mail.ts';
import { type Remote, TransportSite } from './transport-site.ts';

let world: TransportSite;
before(async () => {
  world = await TransportSite.start();
});

const delivered = '250 2.0.0 OK (SMTP)';

async function answerFrom(domain: string): Promise<string> {
  return await world.answer(plain('Hello', 'a@one.test', [`u@${domain}`]));
}

async function assertNothingSent({ server }: Remote): Promise<void> {
  await server.until(() => server.open === 0);
  const commands = server.talks.flatMap(talk => talk.commands);
  assert.ok(!commands.some(command => /^(?:MAIL|RCPT|DATA)/.test(command)), commands.join('\n'));
}

test('TLS with a good certificate: SNI is the name of the MX, EHLO comes twice, the log tells the version', async () => {
  for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
    const remote = await world.remote({ maxVersion });
    assert.equal(await answerFrom(remote.domain), delivered);
    const [talk] = remote.server.talks;
    assert.deepEqual([talk?.serverName, talk?.protocol], [remote.host, maxVersion]);
    assert.deepEqual(talk?.plain?.commands, ['EHLO one.test', 'STARTTLS']);
    assert.match(
      await world.told(remote.domain),
      new RegExp(
        `^INFO .* sent by SMTP to ${remote.host}\\[${remote.address}\\], ${maxVersion} \\(1 to ${remote.domain}, `,
      ),
    );
  }
});

test('a server without STARTTLS gets no mail: 451 4.7.5', async () => {
  const remote = await world.remote({ plainExtensions: ['PIPELINING', 'SIZE 31457280'] });
  assert.match(await answerFrom(remote.domain), new RegExp(`^451 4\\.7\\.5 .*${remote.host}.*STARTTLS`));
  assert.match(await world.told(remote.domain), /SMTP: \S+: STARTTLS: the server does not offer STARTTLS/);
  await assertNothingSent(remote);
});

test('so it is for a subdomain of nauta.cu and for what only ends in it', async () => {
  for (const domain of ['mail.nauta.cu', 'notnauta.cu']) {
    const remote = await world.remote({ domain, plainExtensions: [] });
    assert.match(await answerFrom(domain), /^451 4\./);
    await assertNothingSent(remote);
  }
});

test('nauta.cu may have no TLS, in any case; where it offers TLS, TLS it is', async () => {
  const remote = await world.remote({ domain: 'nauta.cu', plainExtensions: ['PIPELINING'] });
  assert.equal(await answerFrom('Nauta.CU'), delivered);
  assert.match(await world.told('nauta.cu'), /sent by SMTP to \S+, no TLS /);
  assert.equal(remote.server.talk(0).isSecure, false);
  const tls = await world.remote();
  world.dns.mx('nauta.cu', [{ preference: 10, exchange: tls.host }]);
});

test('STARTTLS refused is no TLS', async () => {
  for (const said of ['454 4.7.0 not now', '502 5.5.1 what', '554 5.7.0 never']) {
    const remote = await world.remote({ plan: stage => (stage === 'STARTTLS' ? said : undefined) });
    const answer = await answerFrom(remote.domain);
    assert.match(answer, /^451 4\./);
    assert.ok(answer.includes(`STARTTLS: ${said}`), answer);
    await assertNothingSent(remote);
  }
});

test('plain text behind the answer to STARTTLS, or before it, fails at once', async t => {
  for (const raw of [
    '220 go\r\n250 2.0.0 Ok\r\n',
    '220 go\r\n250-sink\r\n250 PIPELINING\r\n250 2.1.0 Ok\r\n',
    '220 go\r\n2',
    '220 go\r\n\r\n',
    '250 early\r\n220 go\r\n',
    '220 go\r\n220 go\r\n',
    '220-go\r\n220 go\r\nx',
    '220 go\r\n\0',
  ]) {
    await t.test(JSON.stringify(raw), async () => {
      const remote = await world.remote({ plan: stage => (stage === 'STARTTLS' ? { raw } : undefined) });
      const began = performance.now();
      assert.match(await answerFrom(remote.domain), /^451 4\./);
      assert.ok(performance.now() - began < 3000, 'at once');
      assert.match(
        await world.told(remote.domain),
        /: (?:STARTTLS|TLS): (?:plain text|the server speaks out of turn|unexpected|not an SMTP reply)/,
      );
      await assertNothingSent(remote);
    });
  }
  await t.test('after the handshake has begun', async () => {
    const remote = await world.remote({ plan: stage => (stage === 'STARTTLS' ? '220 go' : undefined) });
    remote.server.plan = (stage, talk) => {
      if (stage !== 'STARTTLS') return undefined;
      setImmediate(() => talk.plain?.socket.write('250 2.0.0 Ok\r\n'));
      return { say: '220 go' };
    };
    assert.match(await answerFrom(remote.domain), /^(?:451 4\.|250 )/);
  });
});

test('what was announced before TLS does not count after it', async () => {
  const remote = await world.remote({
    plainExtensions: ['STARTTLS', 'PIPELINING', 'SIZE 1', 'SMTPUTF8', '8BITMIME', 'DSN'],
    extensions: [],
  });
  const mail = plain('Hello', 'a@one.test', [`u@${remote.domain}`, `v@${remote.domain}`]);
  const replies = await world.deliver({ ...mail, parameters: ' SIZE=300 BODY=8BITMIME SMTPUTF8 RET=HDRS' });
  assert.deepEqual(replies, [delivered, delivered]);
  const { tls } = remote.server.talk(0);
  assert.ok(tls?.commands.includes('MAIL FROM:<a@one.test>'), 'no parameters');
  assert.equal(tls?.ranAhead, false);
});

/** A server whose certificate is another one. */
async function certified(
  names: readonly string[],
  options: { days?: number; authority?: Authority; domain?: string } = {},
) {
  const { days, authority = world.authority, domain } = options;
  const certificate = authority.issue(names, days);
  return await world.remote({ certificate, ...(domain === undefined ? {} : { domain }) });
}

test('a certificate that does not prove the name of the MX is refused, with its reason', async t => {
  using stranger = new Authority('stranger');
  const cases = [
    ['another name', /altnames|does not match/i, () => certified(['mx.elsewhere.test'])],
    ['the name of the domain only', /altnames|does not match/i, () => certified(['dom.test'], { domain: 'dom.test' })],
    ['a wildcard two labels deep', /altnames|does not match/i, () => certified(['*.test'])],
    ['expired', /expired/, () => certified(['*.hosts.test'], { days: -1 })],
    ['unknown authority', /unable to|issuer|self.signed/i, () => certified(['*.hosts.test'], { authority: stranger })],
  ] as const;
  for (const [name, reason, make] of cases) {
    await t.test(name, async () => {
      const remote = await make();
      for (const _ of [1, 2]) {
        const answer = await answerFrom(remote.domain);
        assert.match(answer, /^451 4\.\d\.\d /);
        assert.ok(answer.includes(remote.host), answer);
      }
      const line = await world.told(remote.domain);
      assert.match(line, /: TLS: /);
      assert.match(line, reason);
      await assertNothingSent(remote);
    });
  }
});

test('a session of TLS 1.2 whose certificate was refused is not resumed into a connection', async () => {
  const certificate = world.authority.issue(['mx.elsewhere.test']);
  const remote = await world.remote({ certificate, maxVersion: 'TLSv1.2' });
  // Domains of their own: a destination without life is closed for seconds.
  for (const domain of ['resume1.test', 'resume2.test', 'resume3.test']) {
    world.dns.mx(domain, [{ preference: 10, exchange: remote.host }]);
    assert.match(await answerFrom(domain), /^451 4\.7\.5 .*: TLS: /);
  }
  assert.deepEqual(remote.server.talks.length, 3);
  await assertNothingSent(remote);
});

test('a session that makes a server break off the handshake is not offered for ever', async () => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const remote = await world.remote({
      maxVersion,
      wantsCertificate: true,
      plan: stage => (stage === 'message' ? { say: '250 2.0.0 Ok', and: 'close' } : undefined),
    });
    const answers: string[] = [];
    for (const number of [1, 2, 3]) {
      // Domains of their own: a destination without life is closed for seconds.
      const domain = `choke${number}-${maxVersion.toLowerCase()}.test`;
      world.dns.mx(domain, [{ preference: 10, exchange: remote.host }]);
      answers.push(await answerFrom(domain));
    }
    assert.equal(answers[0], delivered);
    assert.equal(answers[2], delivered, `${maxVersion}: ${answers.join(', ')}`);
  }
});

test('the reason of a failed handshake is words, not the place in the source of a library', async () => {
  const remote = await world.remote({
    certificate: world.certificate,
    maxVersion: 'TLSv1.1',
    minVersion: 'TLSv1',
    weak: true,
  });
  const answer = await answerFrom(remote.domain);
  assert.doesNotMatch(answer, /\.c:\d+|error:0A|\.\.\//, answer);
});

test('TLS 1.0 and 1.1 are no TLS', async () => {
  for (const maxVersion of ['TLSv1', 'TLSv1.1'] as const) {
    const remote = await world.remote({ minVersion: 'TLSv1', maxVersion, weak: true });
    assert.match(await answerFrom(remote.domain), /^451 4\./);
    assert.match(await world.told(remote.domain), /: TLS: .*(?:protocol version|version)/i);
    await assertNothingSent(remote);
  }
});

test('domains that begin with _ take any certificate, but want one', async () => {
  using stranger = new Authority('stranger');
  const remote = await certified(['other.test'], { authority: stranger, days: -1, domain: '_chat.test' });
  assert.equal(await answerFrom('_chat.test'), delivered);
  assert.equal(remote.server.talk(0).serverName, remote.host);
  const plainOnly = await world.remote({ domain: '_plain.test', plainExtensions: [] });
  assert.match(await answerFrom('_plain.test'), /^451 4\.7\.5 /);
  await assertNothingSent(plainOnly);
});

test('a lenient connection or session to an MX does not serve a strict domain with the same MX', async () => {
  using stranger = new Authority('stranger');
  const remote = await certified(['other.test'], { authority: stranger, domain: '_lenient.test' });
  assert.equal(await answerFrom('_lenient.test'), delivered);
  world.dns.mx('strict.test', [{ preference: 10, exchange: remote.host }]);
  assert.match(await answerFrom('strict.test'), /^451 4\./);
  assert.deepEqual([remote.server.messages.length, remote.server.talks.length], [1, 2]);
});

test('address literals take any certificate; no SNI', async () => {
  using stranger = new Authority('stranger');
  const certificate = stranger.issue(['other.test'], -1);
  const address = world.freeAddress();
  const server = await TlsSmtpServer.at(address, world.smtpPort, { certificate });
  assert.equal(await answerFrom(`[${address}]`), delivered);
  assert.equal(server.talk(0).serverName, null);
  assert.match(await world.told(`[${address}]`), new RegExp(`sent by SMTP to ${RegExp.escape(address)}\\[`));
  const six = await TlsSmtpServer.at('::1', world.smtpPort, { certificate });
  assert.equal(await answerFrom('[IPv6:::1]'), delivered);
  assert.equal(six.talk(0).serverName, null);
  const none = await TlsSmtpServer.at(world.freeAddress(), world.smtpPort);
  for (const each of [server, six, none]) await each.close();
});

test('a handshake that is broken off or answered with nonsense fails at once', async () => {
  for (const move of [{ raw: 'SSH-2.0-x\r\n' }, { and: 'close' }, { and: 'reset' }] as const) {
    const remote = await world.remote();
    remote.server.plan = (stage, talk) => {
      if (stage !== 'STARTTLS') return undefined;
      talk.plain?.do('220 go');
      talk.plain?.socket.removeAllListeners('data').once('data', () => talk.plain?.do(move));
      return {};
    };
    const began = performance.now();
    assert.match(await answerFrom(remote.domain), /^451 4\.\d\.\d \S+: TLS: /);
    assert.ok(performance.now() - began < 3000, 'at once');
  }
});

test('the log is whole', async () => {
  await world.filter.stop();
});
