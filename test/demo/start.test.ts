// What `npm start` runs, as a process of its own.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createTransport } from 'nodemailer';
import { cells } from './printed.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const binary = join(root, 'bin/filtermail');

let own = '';
let temporary = '';
before(() => {
  own = mkdtempSync(join(tmpdir(), 'filtermail-test-demo-'));
});
beforeEach(() => {
  temporary = mkdtempSync(join(own, 'tmp-'));
});
after(() => rmSync(own, { recursive: true, force: true }));

type Run = { status: number | null; output: string; errors: string };

function start(command: string, args: string[], filter = binary): ChildProcess {
  return spawn(command, args, { cwd: root, env: { ...process.env, TMPDIR: temporary, FILTERMAIL: filter } });
}

/** Runs it without a terminal, with the given filter. */
async function run(filter = binary): Promise<Run> {
  const child = start(process.execPath, ['demo/start.ts'], filter);
  child.stdin?.end();
  let [output, errors] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', text => (output += text));
  child.stderr?.setEncoding('utf8').on('data', text => (errors += text));
  const [status] = await once(child, 'close');
  return { status, output, errors };
}

/** A filter that is a shell script; `$real` is the true one. */
function script(text: string): string {
  const path = join(own, `filter-${readdirSync(own).length}`);
  writeFileSync(path, `#!/bin/sh\nreal='${binary}'\n${text}\n`, { mode: 0o755 });
  return path;
}

function assertNothingLeft(): void {
  assert.deepEqual(readdirSync(temporary), [], 'temporary files');
  const marked = readdirSync('/proc').filter(
    pid => /^\d+$/.test(pid) && environment(pid).includes(`TMPDIR=${temporary}\0`),
  );
  assert.deepEqual(marked, [], 'processes');
}

function environment(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1');
  } catch {
    return ''; // it has ended, or is another user's
  }
}

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
  assert.match(output, /All went as expected\./);
  assert.match(output, /The filter's log:\n\n {2}INFO .*entering serving loop\n/);
  assert.match(output, /\n {2}WARN Rejected unencrypted mail from: alice@chat\.example\n/);
  assert.ok(
    Math.max(
      ...output
        .split('\n')
        .filter(line => !line.includes('WARN'))
        .map(line => line.length),
    ) <= 100,
  );
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

test('a filter that lets readable mail pass: exit status 1, and the table says where', async () => {
  const lax = script(
    `[ "$2" = outgoing ] && echo 'passthrough_senders = alice@chat.example' >>"$1"; exec "$real" "$@"`,
  );
  const { status, output } = await run(lax);
  assert.equal(status, 1);
  assert.equal(output.split('** NOT AS EXPECTED **').length, 2);
  assert.match(cells(output, 'a readable message')[0] ?? '', /NOT AS EXPECTED/);
  assert.match(output, /NOT as expected: 1 of 12\./);
  assertNothingLeft();
});

test('a filter that does not look at DKIM: exit status 1, and the table says where', async () => {
  const { status, output } = await run(script('FILTERMAIL_SKIP_DKIM=1 exec "$real" "$@"'));
  assert.equal(status, 1);
  assert.match(output, /NOT as expected: 3 of 12\./);
  for (const row of ['the same, not signed', 'the signed one, its Subject', 'an encrypted message from eve'])
    assert.match(cells(output, row)[0] ?? '', /NOT AS EXPECTED/);
  assertNothingLeft();
});

test('a filter that keeps no refused mail: exit status 1, and the table says where', async () => {
  const careless = script(
    `sed -i 's|^filtermail_rejected_dir.*|filtermail_rejected_dir = /dev/null|' "$1"; exec "$real" "$@"`,
  );
  const { status, output } = await run(careless);
  assert.equal(status, 1);
  assert.match(output, /NOT as expected: 2 of 12\./);
  for (const row of ['the same, not signed', 'the signed one, its Subject']) {
    const [sent, , found] = cells(output, row);
    assert.match(sent ?? '', /NOT AS EXPECTED/);
    assert.equal(found, 'nothing');
  }
  assertNothingLeft();
});

test('a filter that does not start: its words, exit status 1', async () => {
  const { status, output, errors } = await run(script(`echo 'ERROR cannot start: "no"' >&2; exit 78`));
  assert.deepEqual([status, output], [1, '']);
  assert.equal(errors, 'the filter did not start (exit status 78):\n  ERROR cannot start: "no"\n');
  assertNothingLeft();
});

test('a filter that is not there: exit status 1', async () => {
  const { status, errors } = await run(join(own, 'none'));
  assert.equal(status, 1);
  assert.match(errors, /^the filter did not start \(spawn .* ENOENT\):\n$/);
  assertNothingLeft();
});

for (const [signal, status] of [
  ['INT', 130],
  ['TERM', 143],
  ['HUP', 129],
] as const) {
  test(`SIG${signal} on the way: everything is stopped and removed`, async () => {
    assert.equal((await run(script(`kill -${signal} $PPID; exec "$real" "$@"`))).status, status);
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
  const said = (pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const look = () => {
        const found = pattern.exec(output);
        if (found) resolve(found);
      };
      child.stdout?.on('data', look);
      child.once('close', () => reject(new Error(`ended without ${pattern}:\n${output}`)));
      look();
    });
  child.stdout?.setEncoding('utf8').on('data', text => (output += text));

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

  child.stdin?.write('\x03');
  await said(/Stopping\./);
  const [status] = await once(child, 'close');
  assert.equal(status, 0, output);
  assertNothingLeft();
});
