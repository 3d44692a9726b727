// What whole relays need of this machine.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, realpathSync, statSync } from 'node:fs';
import { describe, test } from 'node:test';
import { checkout } from './host.ts';

const programs = {
  '/usr/sbin/postfix': 'postfix',
  '/usr/lib/dovecot/imap': 'dovecot-imapd',
  '/usr/lib/dovecot/lmtp': 'dovecot-lmtpd',
  '/usr/sbin/nginx': 'nginx-light',
  '/usr/sbin/opendkim': 'opendkim',
  '/usr/sbin/unbound': 'unbound',
  '/usr/bin/openssl': 'openssl',
  '/sbin/ip': 'iproute2',
  '/usr/bin/nsenter': 'util-linux',
} as const;

/** What hosts see of this machine and write in their view of it. */
const shown = [
  ...['', '/dovecot', '/nginx', '/postfix', '/ssl', '/unbound'].map(path => `/etc${path}`),
  ...['', '/local', '/local/bin'].map(path => `/usr${path}`),
  ...['', '/lib', '/log', '/spool', '/spool/postfix'].map(path => `/var${path}`),
];

/** Why there can be no whole relays here, each reason with what would mend it; none when there can. */
export function missing(): string[] {
  const packages = Object.entries(programs).flatMap(([path, name]) => (existsSync(path) ? [] : [name]));
  const reasons =
    packages.length > 0 ? [`missing packages; run as root: sh scripts/debian.sh ${packages.join(' ')}`] : [];
  const dovecot = spawnSync('/usr/sbin/dovecot', ['--version'], { encoding: 'utf8' }).stdout ?? '';
  if (dovecot && !dovecot.startsWith('2.3.')) {
    reasons.push(`Dovecot is ${dovecot.trim()}: the configuration of the tests is for 2.3, that of Debian 12`);
  }
  for (const path of shown) {
    if (!existsSync(path)) continue;
    const real = realpathSync(path);
    if (real !== path) reasons.push(`${path} is a symbolic link, which would lead out of a host`);
    else if (statSync(path).dev !== statSync('/').dev)
      reasons.push(`${path} is a file system of its own, which a view of / lacks`);
  }
  if (process.getuid?.() !== 0) return [...reasons, 'namespaces and overlays are made by root only'];
  const overlay =
    'mount -t tmpfs tmpfs /mnt && cd /mnt && mkdir u w r && mount -t overlay overlay -o lowerdir=/,upperdir=u,workdir=w r';
  const tries = {
    'no namespaces (unshare --mount --uts --ipc --net --pid)': 'true',
    'no overlay of the root directory': overlay,
    'no bridge (ip link add type bridge)': 'ip link add name bridge type bridge',
    'no IPv6': 'ip address add fd55::1/64 dev lo',
    'this checkout cannot be entered by other users': `cd ${JSON.stringify(checkout)} && exec setpriv --reuid=nobody --clear-groups test -x bin/filtermail`,
    'no pairs of network devices (ip link add type veth)': 'ip link add name one type veth peer name two',
  };
  const isolated = ['--mount', '--uts', '--ipc', '--net', '--pid', '--fork', '--propagation', 'private', 'sh', '-c'];
  const failing = Object.entries(tries).flatMap(([reason, command]) => {
    const { status, stderr, error } = spawnSync('unshare', [...isolated, command], { encoding: 'utf8' });
    return status === 0 ? [] : [`${reason}: ${stderr?.trim() ?? error?.message}`];
  });
  return [...reasons, ...failing];
}

/** Tests with whole relays. Where there can be none they are skipped with the reasons; in CI, which has to show them, that is a failure. */
export function describeRelays(name: string, tests: () => void): void {
  const reasons = missing();
  if (reasons.length === 0) {
    describe(name, { timeout: 300_000 }, tests);
    return;
  }
  const reason = `left out: ${reasons.join('; ')}`;
  if (process.env.CI === 'true') test(name, () => assert.fail(reason));
  else test(name, { skip: reason });
}
