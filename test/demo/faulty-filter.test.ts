// `npm start` with a filter that does not do what it must: it has to notice.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertNothingLeft, own, run, script } from './demo-process.ts';
import { cells } from './printed.ts';

test('a filter that lets readable mail pass: exit status 1, and the table says where', async () => {
  const lax = script(
    `[ "$2" = outgoing ] && echo 'passthrough_senders = alice@chat.example' >>"$1"; exec "$real" "$@"`,
  );
  const { status, output } = await run({ FILTERMAIL: lax });
  assert.equal(status, 1);
  assert.equal(output.split('** NOT AS EXPECTED **').length, 2);
  assert.match(cells(output, 'a readable message')[0] ?? '', /NOT AS EXPECTED/);
  assert.match(output, /NOT as expected: 1 of 17\./);
  assertNothingLeft();
});

test('a filter that does not look at DKIM: exit status 1, and the table says where', async () => {
  const { status, output } = await run({ FILTERMAIL: script('FILTERMAIL_SKIP_DKIM=1 exec "$real" "$@"') });
  assert.equal(status, 1);
  assert.match(output, /NOT as expected: 3 of 17\./);
  for (const row of ['the same, not signed', 'the signed one, its Subject', 'an encrypted message from eve'])
    assert.match(cells(output, row)[0] ?? '', /NOT AS EXPECTED/);
  assertNothingLeft();
});

test('a filter that keeps no refused mail: exit status 1, and the table says where', async () => {
  const careless = script(
    `sed -i 's|^filtermail_rejected_dir.*|filtermail_rejected_dir = /dev/null|' "$1"; exec "$real" "$@"`,
  );
  const { status, output } = await run({ FILTERMAIL: careless });
  assert.equal(status, 1);
  assert.match(output, /NOT as expected: 2 of 17\./);
  for (const row of ['the same, not signed', 'the signed one, its Subject']) {
    const [sent, , found] = cells(output, row);
    assert.match(sent ?? '', /NOT AS EXPECTED/);
    assert.equal(found, 'nothing');
  }
  assertNothingLeft();
});

test('a filter that trusts no authority of certificates: exit status 1, and the table says where', async () => {
  const { status, output } = await run({ FILTERMAIL: script('unset NODE_EXTRA_CA_CERTS; exec "$real" "$@"') });
  assert.equal(status, 1);
  assert.match(output, /NOT as expected: 3 of 17\./);
  for (const row of ['an encrypted, signed message', 'the same to frank']) {
    const [sent, reply, found] = cells(output, row);
    assert.match(sent ?? '', /NOT AS EXPECTED/);
    assert.match(reply ?? '', /^451 4\./);
    assert.equal(found, 'nothing');
  }
  assertNothingLeft();
});

test('a filter that does not know HTTPS: exit status 1, and the table says where', async () => {
  const deaf = script(
    'sed -i "s/^filtermail_remote_https_port.*/filtermail_remote_https_port = 1/" "$1"; exec "$real" "$@"',
  );
  const { status, output } = await run({ FILTERMAIL: deaf });
  assert.equal(status, 1);
  assert.match(output, /NOT as expected: 2 of 17\./);
  for (const row of ['an encrypted, signed message', 'the same to three']) {
    assert.match(cells(output, row)[0] ?? '', /NOT AS EXPECTED/);
  }
  assertNothingLeft();
});

test('a filter that does not start: its words, exit status 1', async () => {
  const { status, output, errors } = await run({ FILTERMAIL: script(`echo 'ERROR cannot start: "no"' >&2; exit 78`) });
  assert.deepEqual([status, output], [1, '']);
  assert.equal(errors, 'the filter did not start (exit status 78):\n  ERROR cannot start: "no"\n');
  assertNothingLeft();
});

test('a filter that is not there: exit status 1', async () => {
  const { status, errors } = await run({ FILTERMAIL: join(own, 'none') });
  assert.equal(status, 1);
  assert.match(errors, /^the filter did not start \(spawn .* ENOENT\):\n$/);
  assertNothingLeft();
});
