// A run that is killed leaves nothing behind, and the next one finds its place free.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { eventually } from '../loopback/eventually.ts';
import { describeRelays } from './whole/requirements.ts';

const program = `
  const { TwoRelays } = await import(${JSON.stringify(join(import.meta.dirname, 'whole/two-relays.ts'))});
  const world = await TwoRelays.start();
  const core = await world.core();
  await world.signUp(core, world.one);
  console.log('at work');
  setInterval(() => undefined, 1000);
`;

describeRelays('a run of whole relays that is interrupted', () => {
  let own = '';
  before(() => {
    own = mkdtempSync(join(tmpdir(), 'filtermail-interrupted-'));
  });
  after(() => rmSync(own, { recursive: true, force: true }));

  for (const signal of ['SIGKILL', 'SIGINT', 'SIGTERM'] as const) {
    test(`${signal}: no process, namespace, mount or file is left`, async () => {
      const mark = randomUUID();
      const mounts = readFileSync('/proc/self/mounts', 'latin1');
      const run = spawn(process.execPath, ['--input-type=module', '-e', program], {
        env: { ...process.env, TMPDIR: own, [variable]: mark },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const complaint = text(run.stderr);
      const closed = once(run, 'close');
      await Promise.race([once(run.stdout, 'data'), closed.then(async () => assert.fail(await complaint))]);
      const hosts = namespacesOf(mark);
      assert.equal(hosts.size, 3, 'the clients and two relays');
      assert.ok(inside(hosts).length > 30, 'with their programs');
      run.kill(signal);
      await closed;
      await eventually(() => assert.deepEqual(inside(hosts), []));
      assert.equal(readFileSync('/proc/self/mounts', 'latin1'), mounts);
      assert.deepEqual(readdirSync(own), []);
    });
  }
});

const variable = 'FILTERMAIL_TEST_RUN';

function pids(): string[] {
  return readdirSync('/proc').filter(name => /^\d+$/.test(name));
}

/** What the kernel says of a process; nothing if it has ended. */
function tell(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}

const namespace = (pid: string) => tell(() => readlinkSync(`/proc/${pid}/ns/pid`));

/** Namespaces other than ours in which there are processes of that run. A namespace lives as long as there are any in it. */
function namespacesOf(mark: string): Set<string> {
  const marked = pids().filter(pid => tell(() => readFileSync(`/proc/${pid}/environ`, 'latin1')).includes(mark));
  return new Set(marked.map(namespace).filter(name => name !== namespace('self')));
}

/** The processes in them. */
function inside(namespaces: ReadonlySet<string>): string[] {
  return pids().filter(pid => namespaces.has(namespace(pid)));
}
