import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSettings } from '../../src/settings/settings.ts';

const problemsOf = (source: string): readonly string[] => readSettings(source, {}).problems ?? [];

const label63 = 'a'.repeat(63);
const domain253 = `${label63}.${label63}.${label63}.${'a'.repeat(61)}`;

const good: Readonly<Record<string, readonly string[]>> = {
  mail_domain: [
    'a',
    'localhost',
    '_test.example',
    '_x1._y.example',
    'xn--bcher-kva.example',
    '1.2.3.4',
    '1.a',
    'a--b.c',
    `${label63}.a`,
    domain253,
  ],
  mailboxes_dir: ['/', '/a b', '/a#b;c', '/ü'],
  filtermail_smtp_port: ['1', '65535', '080'],
  max_message_size: ['1', '2147483647'],
  passthrough_senders: ['', 'a@b', "o'neil.x+y=z@b", 'a@b\n c@d', 'a@b\u3000c@d', 'a@[1.2.3.4]', 'a@[ipv6:::1]'],
  passthrough_recipients: ['', '@b', '@[1.2.3.4]', 'a@b'],
  filtermail_host: ['0.0.0.0', '::', '::1', '2001:db8::1'],
  postfix_host: ['localhost', 'my_postfix', 'mx.example', '::1', '10.0.0.1'],
  filtermail_dns_servers: ['', '1.1.1.1', '[::1]', '::1', '1.1.1.1:1 [::1]:65535'],
};

for (const [key, values] of Object.entries(good))
  test(`${key} may be`, () => {
    for (const value of values) {
      const domain = key === 'mail_domain' ? '' : 'mail_domain = a.example\n';
      assert.deepEqual(problemsOf(`[params]\n${domain}${key} = ${value}\n`), [], value);
    }
  });

const aPort = [
  'a port, 1 to 65535',
  [
    '',
    '0',
    '65536',
    '-1',
    '+1',
    '1.0',
    '1e3',
    '0x50',
    '1_0',
    '٣',
    'smtp',
    '1\n 2',
    '9'.repeat(400),
    '25 # smtp',
    '"25"',
  ],
] as const;
const aRate = ['a whole number from 1 to 1000000', ['', '0', '1000001', 'many']] as const;
const aPath = [
  'an absolute path without control characters',
  ['', 'a', './a', '~/a', '"/a"', '/a\0b', '/a\n /b', '/a\x7f'],
] as const;

const bad: Readonly<Record<string, readonly [allowed: string, values: readonly string[]]>> = {
  mail_domain: [
    'a domain name (xn-- form for an international one) or an IPv4 address without brackets',
    [
      '',
      '.',
      'a.',
      '.a',
      'a..b',
      '-a.b',
      'a-.b',
      'a_b.c',
      '__a.b',
      'a b',
      'a.b c.d',
      'bücher.example',
      'a@b',
      'a/b',
      '../b',
      '[1.2.3.4]',
      '::1',
      '256.1.1.1',
      '1.2.3',
      'a\n b',
      'a\0',
      '\u212a.example',
      '"a.b"',
      `a${label63}.b`,
      `${domain253}a`,
    ],
  ],
  mailboxes_dir: aPath,
  filtermail_smtp_port: aPort,
  filtermail_smtp_port_incoming: aPort,
  filtermail_http_port_incoming: aPort,
  filtermail_lmtp_port_transport: aPort,
  postfix_reinject_port: aPort,
  postfix_reinject_port_incoming: aPort,
  max_message_size: ['a whole number from 1 to 2147483647', ['', '0', '2147483648', '30M', '31 457 280', 'Infinity']],
  max_user_send_per_minute: aRate,
  max_user_send_burst_size: aRate,
  passthrough_senders: [
    'user@domain',
    [
      'a',
      '@b',
      'a@',
      'a@@b',
      'a@b@c',
      '<a@b>',
      'a@b,c@d',
      '.a@b',
      'a.@b',
      'a..a@b',
      '"a"@b',
      'ä@b',
      'a@ä',
      'a@[b]',
      'a@[1.2.3]',
      'a@[IPv6:1.2.3.4]',
      'a\0@b',
      'a@*.b',
    ],
  ],
  passthrough_recipients: ['user@domain or @domain', ['b', '@', '@@b', '.a@b', '@.b', '@b@c', '*', '@ä']],
  filtermail_host: ['an IP address', ['', 'localhost', '*', '127.0.0.1:25', '[::1]', '1.2.3', '127.1', 'fe80::1%eth0']],
  postfix_host: [
    'a host name or an IP address',
    ['', '[::1]', 'a b', '127.0.0.1:25', '1.2.3', 'a..b', '-a', 'fe80::1%lo'],
  ],
  filtermail_dns_servers: [
    'an IP address, ip:port or [ip6]:port',
    [
      'dns.example',
      '1.2.3',
      '1.1.1.1:',
      '1.1.1.1:0',
      '1.1.1.1:65536',
      '[1.1.1.1]:53',
      '[::1]:',
      '[::1]53',
      '[::1',
      '1.1.1.1,9.9.9.9',
      'udp://1.1.1.1',
      ':53',
      '[]:53',
      '::1%lo',
    ],
  ],
  filtermail_remote_smtp_port: aPort,
  filtermail_remote_https_port: aPort,
  filtermail_transport_connections: ['a whole number from 1 to 100000', ['', '0', '100001', '-']],
  filtermail_rejected_dir: aPath,
  filtermail_spool_dir: aPath,
};

for (const [key, [allowed, values]] of Object.entries(bad))
  test(`${key} may not be`, () => {
    for (const value of values) {
      const domain = key === 'mail_domain' ? '\n' : 'mail_domain = a.example\n';
      const problems = problemsOf(`[params]\n${domain}${key} = ${value}\n`);
      const words = /^(passthrough|filtermail_dns)/.test(key) ? value.split(' ').length : 1;
      assert.equal(problems.length, words, `${JSON.stringify(value)}: ${problems}`);
      for (const problem of problems) {
        assert.match(problem, /^[ -~]+$/);
        assert.ok(problem.startsWith(`line 3: ${key}: "`), problem);
        assert.ok(problem.endsWith(` is not ${allowed}`), problem);
      }
    }
  });
