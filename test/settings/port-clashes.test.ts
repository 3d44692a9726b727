import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSettings } from '../../src/settings/settings.ts';

const problemsOf = (source: string): readonly string[] => readSettings(source, {}).problems ?? [];

const clashes: readonly [what: string, lines: string, problem: string | undefined][] = [
  [
    'two listeners',
    'filtermail_smtp_port = 7\nfiltermail_http_port_incoming = 7',
    'line 4: filtermail_http_port_incoming: "7" is not free: filtermail_smtp_port is the same port',
  ],
  [
    'a listener with the default of a later one',
    'filtermail_smtp_port = 10083',
    'line 3: filtermail_smtp_port: "10083" is not free: filtermail_lmtp_port_transport is the same port',
  ],
  [
    'a listener with the default of an earlier one',
    'filtermail_lmtp_port_transport = 10080',
    'line 3: filtermail_lmtp_port_transport: "10080" is not free: filtermail_smtp_port is the same port',
  ],
  [
    'a reinject port with a listener',
    'postfix_reinject_port = 10080',
    'line 3: postfix_reinject_port: "10080" is not free: filtermail_smtp_port is the same port',
  ],
  [
    'a listener with the default reinject port',
    'filtermail_http_port_incoming = 10026',
    'line 3: filtermail_http_port_incoming: "10026" is not free: postfix_reinject_port_incoming is the same port',
  ],
  [
    'a reinject port, both on localhost',
    'postfix_reinject_port = 10080\npostfix_host = LocalHost',
    'line 3: postfix_reinject_port: "10080" is not free: filtermail_smtp_port is the same port',
  ],
  [
    'a reinject port, listening everywhere',
    'postfix_reinject_port = 10080\nfiltermail_host = ::',
    'line 3: postfix_reinject_port: "10080" is not free: filtermail_smtp_port is the same port',
  ],
  ['a reinject port on another host', 'postfix_reinject_port = 10080\npostfix_host = 10.0.0.2', undefined],
  ['a reinject port on another loopback address', 'postfix_reinject_port = 10080\npostfix_host = 127.0.0.2', undefined],
  [
    'localhost is not our other address',
    'postfix_reinject_port = 10080\npostfix_host = localhost\nfiltermail_host = 10.0.0.1',
    undefined,
  ],
  ['both reinject ports with each other', 'postfix_reinject_port = 10026', undefined],
  ['ports of remote servers', 'filtermail_remote_smtp_port = 10080', undefined],
];

for (const [what, lines, problem] of clashes)
  test(`equal ports: ${what}`, () => {
    const problems = problemsOf(`[params]\nmail_domain = a.example\n${lines}`);
    assert.deepEqual(problems, problem === undefined ? [] : [problem]);
  });

test('a faulty port or host does not make its default clash', () => {
  assert.equal(
    problemsOf('[params]\nmail_domain = a.example\nfiltermail_smtp_port = x\npostfix_reinject_port = 10080').length,
    1,
  );
  assert.equal(
    problemsOf('[params]\nmail_domain = a.example\npostfix_host = ?\npostfix_reinject_port = 10080').length,
    1,
  );
});
