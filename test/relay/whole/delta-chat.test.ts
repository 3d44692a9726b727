// What the other tests of whole relays lean on, without a relay: talking to a core, waiting for its events, its end.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Core, cores } from './delta-chat.ts';
import { Events, JsonRpc, RpcError } from './json-rpc.ts';

const directory = mkdtempSync(join(tmpdir(), 'filtermail-cores-'));
after(() => rmSync(directory, { recursive: true, force: true }));

/** A child that does what this program says. */
const child = (program: string) => new JsonRpc('child', spawn(process.execPath, ['-e', program]));

// There are none for other systems.
for (const binary of process.platform === 'linux' ? cores() : []) {
  describe(`core ${binary.version}`, () => {
    const start = () =>
      Core.start(([path = ''], { env }) => spawn(path, { env }), binary, join(directory, binary.version));

    test('calls at once, each with its own answer', async () => {
      const core = await start();
      const calls = [
        core.call('sleep', 0.3),
        core.call('check_email_validity', 'a@one.test'),
        core.call('get_system_info'),
      ];
      assert.equal(await Promise.race(calls.slice(0, 2)), true, 'a quick one overtakes a slow one');
      assert.equal((await Promise.all(calls)).length, 3);
      await core.stop();
    });

    test('errors say which call failed and why', async () => {
      const core = await start();
      await assert.rejects(core.call('nonsense'), new RpcError('nonsense', -32601, 'Method not found'));
      await assert.rejects(core.call('set_config', 1, 'nonsense', ''), { name: 'RpcError', message: /^set_config: / });
      await core.stop();
    });

    test('no sign-up where no relay is', async () => {
      const core = await start();
      const login = { address: 'alice1234@one.test', password: 'password1', host: '255.255.255.255' };
      await assert.rejects(core.signUp(login), { name: 'RpcError' });
      await core.stop();
    });

    test('its end is the end of all calls', async () => {
      const core = await start();
      const waiting = assert.rejects(core.call('sleep', 60), /ended with/);
      await core.stop();
      await waiting;
      await assert.rejects(core.call('get_system_info'), /ended with 0/);
    });
  });
}

describe('a child that does not do well', () => {
  test('one that dies: pending and later calls fail with what it said last', async () => {
    const rpc = child(
      "process.stdin.once('data', () => { console.error('no, never'); process.exitCode = 3; process.stdin.destroy(); })",
    );
    await assert.rejects(Promise.all([rpc.call('one'), rpc.call('two')]), /^Error: child ended with 3\nno, never/);
    await assert.rejects(rpc.call('three'), /ended with 3/);
    await assert.rejects(rpc.stop(), /how it ended/);
  });

  test('one that is not there', async () => {
    const rpc = new JsonRpc('child', spawn(join(directory, 'nothing')));
    await assert.rejects(rpc.call('one'), /ENOENT/);
  });
});

describe('events', () => {
  const found = (events: Events, kind: string) => () => events.since(0).find(event => event.kind === kind);

  test('what came already, and what comes', async () => {
    const events = new Events();
    events.take({ kind: 'One' });
    assert.equal((await events.until(found(events, 'One'), 'no One', 1)).kind, 'One');
    const wait = events.until(found(events, 'Two'), 'no Two', 1);
    events.take({ kind: 'Three' });
    events.take({ kind: 'Two' });
    assert.equal((await wait).kind, 'Two');
  });

  test('too late: it is said what came instead', async () => {
    const events = new Events();
    events.take({ kind: 'Info', msg: 'hm' });
    events.take({ kind: 'Other', msgId: 3 });
    const message = 'no One within 0.05 s; the last events:\nInfo {"msg":"hm"}\nOther {"msgId":3}';
    await assert.rejects(events.until(found(events, 'One'), 'no One', 0.05), { message });
  });

  test('a look that takes too long, or fails', async () => {
    const events = new Events();
    await assert.rejects(
      events.until(() => new Promise<never>(() => undefined), 'no end', 0.05),
      /^Error: no end within/,
    );
    await assert.rejects(
      events.until(() => Promise.reject(new Error('hm')), 'no end', 1),
      /hm/,
    );
  });

  test('the end: what came is found still, nothing else is waited for', async () => {
    const events = new Events();
    events.take({ kind: 'One' });
    const wait = assert.rejects(events.until(found(events, 'Two'), 'no Two', 5), /over/);
    events.end(new Error('over'));
    await wait;
    assert.equal((await events.until(found(events, 'One'), 'no One', 1)).kind, 'One');
    await assert.rejects(events.until(found(events, 'Two'), 'no Two', 5), /over/);
  });
});
