import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseIni } from '../../src/settings/ini.ts';
import { readSettings } from '../../src/settings/settings.ts';

const example = readFileSync(new URL('../../chatmail.ini.example', import.meta.url), 'utf8');
const withDefaults = example.replace(/^#(?=[a-z_]+ =)/gm, '');

const keys = [
  'mail_domain',
  'mailboxes_dir',
  'filtermail_smtp_port',
  'filtermail_smtp_port_incoming',
  'filtermail_http_port_incoming',
  'filtermail_lmtp_port_transport',
  'postfix_reinject_port',
  'postfix_reinject_port_incoming',
  'max_message_size',
  'max_user_send_per_minute',
  'max_user_send_burst_size',
  'passthrough_senders',
  'passthrough_recipients',
  'filtermail_host',
  'postfix_host',
  'filtermail_dns_servers',
  'filtermail_remote_smtp_port',
  'filtermail_remote_https_port',
  'filtermail_transport_connections',
  'filtermail_rejected_dir',
  'filtermail_spool_dir',
];

test('chatmail.ini.example sets the domain only', () => {
  assert.deepEqual([...(parseIni(example).sections.get('params')?.keys() ?? [])], ['mail_domain']);
  assert.equal(readSettings(example, {}).settings?.mailDomain, 'chat.example.org');
});

test('chatmail.ini.example explains every key once', () => {
  const { sections, problems } = parseIni(withDefaults);
  assert.deepEqual(problems, []);
  assert.deepEqual([...(sections.get('params')?.keys() ?? [])].sort(), [...keys].sort());

  const lines = withDefaults.split('\n');
  for (const { line } of sections.get('params')?.values() ?? []) assert.match(lines[line - 2] ?? '', /^# .*\w/);
});

test('the defaults in chatmail.ini.example are those of the code', () => {
  assert.deepEqual(readSettings(withDefaults, {}), readSettings(example, {}));
});
