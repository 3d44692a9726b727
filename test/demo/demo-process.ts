/** `npm start` as a process of its own, with a directory of its own for temporary files. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const binary = join(root, 'bin/filtermail');

/** For what tests make. */
export let own = '';
let temporary = '';
before(() => {
  own = mkdtempSync(join(tmpdir(), 'filtermail-test-demo-'));
});
beforeEach(() => {
  temporary = mkdtempSync(join(own, 'tmp-'));
});
after(() => rmSync(own, { recursive: true, force: true }));

export type Run = { status: number | null; output: string; errors: string };

export function start(command: string, args: string[], environment: NodeJS.ProcessEnv = {}): ChildProcess {
  const env = { ...process.env, TMPDIR: temporary, FILTERMAIL: binary, ...environment };
  return spawn(command, args, { cwd: root, env });
}

/** Runs it without a terminal. `FILTERMAIL` in the environment is another filter. */
export async function run(environment: NodeJS.ProcessEnv = {}): Promise<Run> {
  const child = start(process.execPath, ['demo/start.ts'], environment);
  child.stdin?.end();
  let [output, errors] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', text => (output += text));
  child.stderr?.setEncoding('utf8').on('data', text => (errors += text));
  const [status] = await once(child, 'close');
  return { status, output, errors };
}

/** A filter that is a shell script; `$real` is the true one. */
export function script(text: string): string {
  const path = join(own, `filter-${readdirSync(own).length}`);
  writeFileSync(path, `#!/bin/sh\nreal='${binary}'\n${text}\n`, { mode: 0o755 });
  return path;
}

export function assertNothingLeft(): void {
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
