// What systemd's own tools say about the units, and what chatmail's deployment expects of them.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../../systemd/', import.meta.url));
const modes = [
  ['filtermail', 'outgoing'],
  ['filtermail-incoming', 'incoming'],
  ['filtermail-transport', 'transport'],
] as const;
const files = modes.map(([name]) => `${name}.service`);

/** Lines by what they set, such as `Service.Type`. */
function readUnit(name: string): Map<string, string[]> {
  const lines = readFileSync(join(folder, name), 'utf8').split('\n');
  let section = '';
  const set = new Map<string, string[]>();
  for (const line of lines.filter(line => line !== '' && !line.startsWith('#'))) {
    const [, heading] = /^\[(\w+)\]$/.exec(line) ?? [];
    const [, key, value = ''] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (heading !== undefined) section = heading;
    else if (key !== undefined) set.set(`${section}.${key}`, [...(set.get(`${section}.${key}`) ?? []), value]);
    else assert.fail(`${name}: ${line}`);
  }
  return set;
}

for (const [name, mode] of modes) {
  test(`${name}: what the deployment and its admin rely on`, () => {
    const unit = readUnit(`${name}.service`);
    for (const [key, value] of [
      ['Service.ExecStart', `/usr/local/bin/filtermail /usr/local/lib/chatmaild/chatmail.ini ${mode}`],
      ['Service.Type', 'exec'],
      ['Service.User', 'vmail'],
      ['Service.LimitNOFILE', '524288'],
      ['Service.Restart', 'always'],
      ['Service.RestartSec', '100ms'],
      ['Unit.StartLimitIntervalSec', '0'],
      ['Service.RestartPreventExitStatus', '64 78'],
      ['Install.WantedBy', 'multi-user.target'],
    ] as const) {
      assert.deepEqual(unit.get(key), [value], key);
    }
    assert.match(unit.get('Unit.Before')?.join(' ') ?? '', /\bpostfix@-\.service\b/, "Debian's own name of it");
  });
}

test('the units differ only where the modes do', () => {
  const [first = new Map(), ...others] = files.map(readUnit);
  const keys = new Set([first, ...others].flatMap(unit => [...unit.keys()]));
  const differing = [...keys].filter(key => others.some(unit => `${unit.get(key)}` !== `${first.get(key)}`));
  assert.deepEqual(differing.sort(), [
    'Service.ExecStart',
    'Service.IPAddressAllow', // outgoing has its peers on this machine
    'Service.IPAddressDeny',
    'Service.PrivateTmp', // incoming keeps refused mail in /tmp
    'Service.ReadWritePaths',
    'Unit.After', // a resolver, except outgoing
    'Unit.Description',
  ]);
});

function analyze(...words: readonly string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync('systemd-analyze', words, {
    encoding: 'utf8',
    env: { ...process.env, SYSTEMD_PAGER: '', SYSTEMD_COLORS: '0' },
  });
  return { status, output: stdout + stderr };
}

const isThere = analyze('--version').status === 0 || process.env.CI === 'true';

describe('systemd-analyze', { skip: isThere ? false : 'systemd is not installed' }, () => {
  const root = mkdtempSync(join(tmpdir(), 'filtermail-units-'));
  after(() => rmSync(root, { recursive: true }));
  const program = join(root, 'usr/local/bin/filtermail');
  mkdirSync(join(program, '..'), { recursive: true });
  writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 });
  cpSync(folder, join(root, 'etc/systemd/system'), { recursive: true });

  test('verify finds nothing wrong', () => {
    cpSync('/lib/systemd/system', join(root, 'lib/systemd/system'), { recursive: true, verbatimSymlinks: true });
    assert.deepEqual(analyze('verify', `--root=${root}`, ...files), { status: 0, output: '' });
    chmodSync(program, 0o644);
    assert.match(analyze('verify', `--root=${root}`, ...files).output, /filtermail is not executable/);
  });

  for (const file of files) {
    test(`${file}: at most 2.0 of exposure`, () => {
      const { status, output } = analyze('--offline=true', 'security', '--no-pager', join(folder, file));
      assert.equal(status, 0, output);
      const [, exposure] = /Overall exposure level for .*: (\d+\.\d+)/.exec(output) ?? [];
      assert.ok(Number(exposure) <= 2, output);
    });
  }
});
