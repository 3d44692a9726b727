import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Env, loadSettings, readSettings, type Settings } from '../../src/settings/settings.ts';

/** The settings of `[params]` with a domain and the given lines; no problem may be there. */
function settingsOf(lines: string, env: Env = {}): Settings {
  const { settings, problems } = readSettings(`[params]\nmail_domain = chat.example\n${lines}`, env);
  assert.deepEqual(problems, undefined, lines);
  assert.ok(settings);
  return settings;
}

const problemsOf = (source: string | Uint8Array, env: Env = {}): readonly string[] =>
  readSettings(source, env).problems ?? [];

const defaults: Settings = {
  mailDomain: 'chat.example',
  serverName: 'chat.example',
  addressDomains: ['chat.example'],
  mailboxesDir: '/home/vmail/mail/chat.example',
  smtpPort: 10080,
  smtpPortIncoming: 10081,
  httpPortIncoming: 10082,
  lmtpPortTransport: 10083,
  reinjectPort: 10025,
  reinjectPortIncoming: 10026,
  maxMessageSize: 31457280,
  sendPerMinute: 60,
  sendBurstSize: 10,
  passthroughSenders: [],
  passthroughRecipients: [],
  host: '127.0.0.1',
  postfixHost: '127.0.0.1',
  dnsServers: [],
  remoteSmtpPort: 25,
  remoteHttpsPort: 443,
  transportConnections: 500,
  rejectedDir: '/tmp/filtermail-rejected',
  spoolDir: '/var/tmp',
  skipDkim: false,
  logFilter: '',
};

test('defaults', () => assert.deepEqual(settingsOf(''), defaults));

test('every key at once, and keys of other programs', () => {
  const text = `[params]
    # a comment
mail_domain = Relay.Example
mailboxes_dir = /srv/mail boxes/ä
filtermail_smtp_port = 1
filtermail_smtp_port_incoming = 2
filtermail_http_port_incoming = 3
filtermail_lmtp_port_transport = 65535
postfix_reinject_port = 4
postfix_reinject_port_incoming: 5
max_message_size = 2147483647
max_user_send_per_minute = 1
max_user_send_burst_size = 0007
passthrough_senders = Admin@Relay.example bot+x@[1.2.3.4]
passthrough_recipients =
  @Example.org
\tall@example.net  x@[IPv6:::1]
filtermail_host = ::1
postfix_host = postfix_1.internal
filtermail_dns_servers = 9.9.9.9 10.0.0.1:5353 2620:fe::fe [::1]:54
filtermail_remote_smtp_port = 2525
filtermail_remote_https_port = 8443
filtermail_transport_connections = 20
filtermail_rejected_dir = /r
filtermail_spool_dir = /s
iroh_relay = # not ours
[privacy]
mail_domain = none of ours
`;
  const env = { CACHE_DIRECTORY: '/var/cache/filtermail', FILTERMAIL_SKIP_DKIM: 'True', RUST_LOG: 'warn,x=debug' };
  assert.deepEqual(readSettings(Buffer.from(text), env), {
    settings: {
      mailDomain: 'relay.example',
      serverName: 'relay.example',
      addressDomains: ['relay.example'],
      mailboxesDir: '/srv/mail boxes/ä',
      smtpPort: 1,
      smtpPortIncoming: 2,
      httpPortIncoming: 3,
      lmtpPortTransport: 65535,
      reinjectPort: 4,
      reinjectPortIncoming: 5,
      maxMessageSize: 2147483647,
      sendPerMinute: 1,
      sendBurstSize: 7,
      passthroughSenders: ['admin@relay.example', 'bot+x@[1.2.3.4]'],
      passthroughRecipients: ['@example.org', 'all@example.net', 'x@[ipv6:::1]'],
      host: '::1',
      postfixHost: 'postfix_1.internal',
      dnsServers: [
        { address: '9.9.9.9', port: 53 },
        { address: '10.0.0.1', port: 5353 },
        { address: '2620:fe::fe', port: 53 },
        { address: '::1', port: 54 },
      ],
      remoteSmtpPort: 2525,
      remoteHttpsPort: 8443,
      transportConnections: 20,
      rejectedDir: '/r',
      spoolDir: '/s',
      skipDkim: true,
      logFilter: 'warn,x=debug',
    },
  });
});

test('settings are frozen to the bottom', () => {
  const settings = settingsOf('filtermail_dns_servers = 9.9.9.9\npassthrough_senders = a@b');
  const assertFrozen = (value: unknown) => {
    assert.ok(Object.isFrozen(value));
    if (typeof value === 'object' && value !== null) Object.values(value).forEach(assertFrozen);
  };
  assertFrozen(settings);
});

test('a bare IPv4 address as mail_domain', () => {
  const { settings } = readSettings('[params]\nmail_domain=192.0.2.7', {});
  assert.deepEqual(settings, {
    ...defaults,
    mailDomain: '192.0.2.7',
    serverName: '[192.0.2.7]',
    addressDomains: ['[192.0.2.7]'],
    mailboxesDir: '/home/vmail/mail/192.0.2.7',
  });
});

test('the default mailboxes directory has the domain as it is written, as the other programs read it', () => {
  const { settings } = readSettings('[params]\nmail_domain = Chat.Example', {});
  assert.equal(settings?.mailDomain, 'chat.example');
  assert.equal(settings?.mailboxesDir, '/home/vmail/mail/Chat.Example');
});

test('environment', () => {
  for (const value of ['1', 'true', 'TRUE', 'tRuE'])
    assert.equal(settingsOf('', { FILTERMAIL_SKIP_DKIM: value }).skipDkim, true, value);
  for (const value of ['', '0', 'false', 'yes', '11', 'true '])
    assert.equal(settingsOf('', { FILTERMAIL_SKIP_DKIM: value }).skipDkim, false, value);

  assert.equal(settingsOf('', { CACHE_DIRECTORY: '/var/cache/a:/var/cache/b' }).spoolDir, '/var/cache/a');
  assert.equal(settingsOf('', { CACHE_DIRECTORY: '' }).spoolDir, '/var/tmp');
  assert.equal(settingsOf('filtermail_spool_dir = /s', { CACHE_DIRECTORY: 'x' }).spoolDir, '/s');
  assert.deepEqual(problemsOf('[params]\nmail_domain = a.example', { CACHE_DIRECTORY: 'x' }), [
    'CACHE_DIRECTORY: "x" is not an absolute path without control characters',
  ]);
});

test('ten faults are ten lines, in the order of the file', () => {
  const text = `[params]
mail_domain = [192.0.2.7]
mailboxes_dir = mail
filtermail_smtp_port = 0
filtermail_smtp_port_incoming = 10083
max_message_size = 30M
max_user_send_per_minute =
passthrough_senders = a@b.example joe c@d.example
filtermail_host = localhost
filtermail_dns_servers = 9.9.9.9:dns
filtermail_host = 127.0.0.1
`;
  assert.deepEqual(problemsOf(text), [
    'line 2: mail_domain: "[192.0.2.7]" is not a domain name (xn-- form for an international one) or an IPv4 address without brackets',
    'line 3: mailboxes_dir: "mail" is not an absolute path without control characters',
    'line 4: filtermail_smtp_port: "0" is not a port, 1 to 65535',
    'line 5: filtermail_smtp_port_incoming: "10083" is not free: filtermail_lmtp_port_transport is the same port',
    'line 6: max_message_size: "30M" is not a whole number from 1 to 2147483647',
    'line 7: max_user_send_per_minute: "" is not a whole number from 1 to 1000000',
    'line 8: passthrough_senders: "joe" is not user@domain',
    'line 9: filtermail_host: "localhost" is not an IP address',
    'line 10: filtermail_dns_servers: "9.9.9.9:dns" is not an IP address, ip:port or [ip6]:port',
    'line 11: "filtermail_host" is set already in line 9',
  ]);
});

test('what is missing', () => {
  const missing = 'the section [params] is missing';
  assert.deepEqual(problemsOf(''), [missing]);
  assert.deepEqual(problemsOf('[ params ]\nmail_domain = a.example'), [missing]);
  assert.deepEqual(problemsOf('mail_domain = a.example'), [
    missing,
    'line 1: "mail_domain" stands before the first section',
  ]);
  assert.deepEqual(problemsOf('[params]\nMail_Domain = a.example'), [
    'mail_domain: is missing; it must be a domain name (xn-- form for an international one) or an IPv4 address without brackets',
  ]);
});

test('a second [params] is one problem, whatever is in it', () => {
  const text = '[params]\nmail_domain = a.example\n[x]\n[params]\nmail_domain = b.example\nfiltermail_host = x';
  assert.deepEqual(problemsOf(text), ['line 4: section "params" stands already in line 1']);
});

test('a long foreign value is cut and escaped', () => {
  assert.deepEqual(problemsOf(`[params]\nmail_domain = a.example\nfiltermail_host = \x1b]0;ü${'x'.repeat(500)}`), [
    `line 3: filtermail_host: "\\u001b]0;\\u00fc${'x'.repeat(55)}"... is not an IP address`,
  ]);
});

test('what is larger than 1 MiB', () => {
  const full = '[params]\nmail_domain = a.example\n#'.padEnd(1024 * 1024, 'x');
  assert.deepEqual(problemsOf(full), []);
  assert.deepEqual(problemsOf(`${full}x`), ['larger than 1048576 octets']);
  assert.deepEqual(problemsOf(Buffer.alloc(2 * 1024 * 1024)), ['larger than 1048576 octets']);
});

test('a file that is no ini file gives a bounded number of lines', () => {
  const problems = problemsOf('junk\n'.repeat(1e5));
  assert.equal(problems.length, 101);
  assert.equal(problems[0], 'the section [params] is missing');
  assert.equal(problems[100], 'and 99901 more problems');
  assert.equal(problemsOf(`[params]\nmail_domain = a.example\npassthrough_senders = ${'x '.repeat(4e5)}`).length, 101);
});

test('NUL octets', () => {
  assert.deepEqual(problemsOf('[params]\nmail_domain = a.example\n\0\0'), [
    'line 3: "\\u0000\\u0000" is neither "[section]" nor "key = value"',
  ]);
  assert.deepEqual(problemsOf('[params]\nmail_domain = a.example\nunknown = \0'), []);
});

test('100,000 unknown keys', () => {
  const keys = Array.from({ length: 1e5 }, (_, index) => `k${index}=`).join('\n');
  const start = performance.now();
  settingsOf(keys);
  assert.ok(performance.now() - start < 2000);
});

test('files', t => {
  const directory = mkdtempSync(join(tmpdir(), 'settings-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const write = (name: string, content: string | Uint8Array) => {
    const path = join(directory, name);
    writeFileSync(path, content);
    return path;
  };

  assert.deepEqual(loadSettings(write('good', '\ufeff[params]\r\nmail_domain = chat.example\r\n'), {}), {
    settings: defaults,
  });
  assert.deepEqual(
    loadSettings(write('latin1', Buffer.from('[params]\nmail_domain = a.example\nx = \xe4', 'latin1')), {}),
    {
      problems: ['line 3: not UTF-8'],
    },
  );
  const tooLarge = { problems: ['larger than 1048576 octets'] };
  assert.deepEqual(loadSettings(write('large', Buffer.alloc(2 * 1024 * 1024, '#')), {}), tooLarge);
  assert.deepEqual(loadSettings('/dev/zero', {}), tooLarge);
  assert.deepEqual(loadSettings(directory, {}), {
    problems: [`cannot read "${directory}": illegal operation on a directory`],
  });
  assert.deepEqual(loadSettings('/nonexistent/ü\n', {}), {
    problems: ['cannot read "/nonexistent/\\u00fc\\n": no such file or directory'],
  });
  assert.deepEqual(loadSettings('a\0b', {}), { problems: ['cannot read "a\\u0000b": ERR_INVALID_ARG_VALUE'] });
  assert.deepEqual(loadSettings('', {}), { problems: ['cannot read "": no such file or directory'] });
});
