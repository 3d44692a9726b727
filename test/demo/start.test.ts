// What `npm start` runs, as a process of its own.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createTransport } from 'nodemailer';
import { assertNothingLeft, own, run, script, start } from './demo-process.ts';
import { cells } from './printed.ts';

test('without a terminal: the table, the log, exit status 0', async () => {
  const { status, output, errors } = await run();
  assert.deepEqual([status, errors], [0, '']);
  assert.match(output, /\n {2}sent +reply +arrived at Postfix\n {2}-+ {2}-+ {2}-+\n/);
  assert.deepEqual(cells(output, 'an encrypted message from alice'), [
    'an encrypted message from alice to bob',
    '250 2.6.0 Ok: queued',
    'the same octets bob reads "Hello Bob!"',
  ]);
  assert.deepEqual(cells(output, 'a readable message'), [
    'a readable message from alice to bob',
    '523 Encryption Needed: Invalid Unencrypted Mail',
    'nothing',
  ]);
  assert.deepEqual(cells(output, 'an encrypted message from mallory').slice(1), [
    '500 5.7.1 Invalid FROM <alice@chat.example> for <mallory@chat.example>',
    'nothing',
  ]);
  const [, burst, arrived] = cells(output, '8 encrypted messages');
  assert.match(burst ?? '', /^5 x 250 .* 3 x 450 4\.7\.1: Too much mail from <hasty@chat\.example>, retry in \d+ s$/);
  assert.equal(arrived, '5, the same octets');
  assertIncoming(output);
  assertTransport(output);
  assert.match(output, /All went as expected\./);
  assert.match(output, /The filter's log:\n\n {2}INFO .*entering serving loop \(filtermail .*\)\n/);
  assert.match(output, /\n {2}WARN Rejected unencrypted mail from: alice@chat\.example\n/);
  const [tables = ''] = output.split("The filter's log:");
  assert.ok(Math.max(...tables.split('\n').map(line => line.length)) <= 100);
  assertNothingLeft();
});

function assertIncoming(output: string): void {
  const accepted = '250 2.6.0 Ok: queued';
  const kept = 'nothing kept, the same octets: rejected/dkim-verify/';
  const needed = '523 Encryption Needed: Invalid Unencrypted Mail';
  for (const [first, reply, found] of [
    ['an encrypted message from bob', accepted, 'the same octets alice reads "Hello Alice!"'],
    ['the same, not signed', '554 5.7.1 No DKIM signature found', kept],
    ['the signed one, its Subject changed', '554 5.7.1 No valid DKIM signature found', kept],
    ['the signed one over HTTP', `HTTP 200: ${accepted}`, 'the same octets'],
    ['the signed one by way of a forwarder', accepted, 'the same octets from <>'],
    ['a readable message from bob, signed, to alice', needed, 'nothing'],
    ['the same to carol', accepted, 'the same octets'],
    ['an encrypted message from eve', '451 4.7.5 The DKIM key cannot be looked up now, try again later', 'nothing'],
  ] as const) {
    const row = cells(output, first).map(cell => cell.replace(/\d+-[0-9a-f]{8}\.eml$/, ''));
    assert.deepEqual(row.slice(1), [reply, found], first);
  }
}

function assertTransport(output: string): void {
  const refusedConnection = '451 4.4.1 mx.dead.example[127.0.0.4]: connect: connection refused (ECONNREFUSED)';
  for (const [first, reply, found] of [
    ['an encrypted, signed message', '250 2.0.0 OK (HTTPS)', 'the same octets at other.example bob reads "Hello Bob!"'],
    ['the same to frank', '250 2.0.0 OK (SMTP)', 'the same octets at mx.classic.example'],
    [
      'the same to three',
      'bob@other.example: 250 2.0.0 OK (HTTPS) nobody@classic.example: 550 5.1.1 No such user here ' +
        `(mx.classic.example said) carol@dead.example: ${refusedConnection}`,
      'the same octets to <bob@other.example> at other.example',
    ],
    ['the same to erin', `at RCPT: ${refusedConnection} (next try in N s)`, 'nothing'],
    ['the same to dave', '550 5.1.2 no such domain: missing.example', 'nothing'],
  ] as const) {
    const row = cells(output, first).map(cell => cell.replace(/next try in \d s/, 'next try in N s'));
    assert.deepEqual(row.slice(1), [reply, found], first);
  }
  assert.match(output, /\n {2}INFO Transport: sent by SMTP to mx\.classic\.example\[127\.0\.0\.3\], TLSv1\.3 /);
  assert.match(output, /\n {2}other\.example: INFO Incoming: Filtering encrypted mail\.\n/);
}

test('without openssl: one line, exit status 1', async () => {
  const { status, output, errors } = await run({ PATH: own });
  assert.deepEqual([status, output], [1, '']);
  assert.equal(errors, 'openssl is not installed (as root: sh scripts/debian.sh openssl)\n');
  assertNothingLeft();
});

for (const [signal, status] of [
  ['INT', 130],
  ['TERM', 143],
  ['HUP', 129],
] as const) {
  test(`SIG${signal} on the way: everything is stopped and removed`, async () => {
    assert.equal((await run({ FILTERMAIL: script(`kill -${signal} $PPID; exec "$real" "$@"`) })).status, status);
    assertNothingLeft();
  });
}

test('nobody reads: it goes on to the end, and everything is stopped and removed', async () => {
  const child = start(process.execPath, ['demo/start.ts']);
  child.stdout?.destroy();
  const [status] = await once(child, 'exit');
  assert.equal(status, 0);
  assertNothingLeft();
});

const noTerminal = spawnSync('script', ['--version']).error ? 'no script(1) (Debian: bsdutils)' : false;

test('on a terminal: it stays up, can be sent to as it says, and ends with Ctrl-C', { skip: noTerminal }, async () => {
  const child = start('script', [
    '--quiet',
    '--return',
    '--flush',
    '--command',
    'exec sh scripts/start.sh',
    '/dev/null',
  ]);
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', text => (output += text));
  const closed = once(child, 'close');
  const said = async (pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const found = pattern.exec(output);
      if (found) return found;
      assert.ok(child.stdout?.readable, `ended without ${pattern}:\n${output}`);
      await Promise.race([once(child.stdout, 'data'), closed]);
    }
  };

  await said(/Ctrl-C[\s\S]*log:\r\n/);
  const [, outgoing] = await said(/Outgoing mail is taken on 127\.0\.0\.1 port (\d+)/);
  const transport = createTransport({ host: '127.0.0.1', port: Number(outgoing), ignoreTLS: true });
  const envelope = { from: 'alice@chat.example', to: 'bob@other.example' };
  const message = readFileSync((await said(/--upload-file (\S+encrypted\.eml)\r\n/))[1] ?? '');
  const { response } = await transport.sendMail({ envelope, raw: message });
  assert.match(response, /^250 /);
  await said(new RegExp(`Postfix got ${message.length} octets from <${envelope.from}> to <${envelope.to}>`));
  await assert.rejects(transport.sendMail({ ...envelope, text: 'Hello' }), /523 Encryption Needed/);

  const [, url, from, to, file] = await said(
    /curl (http\S+) --header '(X-MAIL-FROM: \S+)' \\\r\n +--header '(X-MAIL-TO: \S+)' --data-binary @(\S+)\r\n/,
  );
  const headers = [from, to].map(header => (header ?? '').split(': ') as [string, string]);
  const signed = readFileSync(file ?? '');
  const delivered = await fetch(url ?? '', { method: 'POST', headers, body: signed });
  assert.match(await delivered.text(), /^250 /);
  await said(new RegExp(`Postfix got ${signed.length} octets from <bob@other\\.example> to <alice@chat\\.example>`));

  const [, lmtp] = await said(/Mail for others is taken by LMTP on 127\.0\.0\.1 port (\d+)/);
  const postfix = createTransport({ host: '127.0.0.1', port: Number(lmtp), ignoreTLS: true, lmtp: true });
  const leaving = readFileSync((await said(/--data @(\S+)\r\n/))[1] ?? '');
  assert.equal((await postfix.sendMail({ envelope, raw: leaving })).response, '250 2.0.0 OK (HTTPS)');
  await said(new RegExp(`other\\.example: Postfix got ${leaving.length} octets from <${envelope.from}>`));

  child.stdin?.write('\x03');
  await said(/Stopping\./);
  const [status] = await closed;
  assert.equal(status, 0, output);
  assertNothingLeft();
});
