// The .deb under real dpkg, on a relay on which another program of this name runs already, with units that an admin has changed.

import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { put } from '../../scripts/build/release.ts';
import { are, whyNoRoots } from './needs.ts';
import { Overlay } from './overlay.ts';
import { deb, place, run, scratch } from './packages.ts';

const program = '/usr/local/bin/filtermail';
const installed = '/usr/lib/filtermail/filtermail';
const saved = `${program}.dpkg-saved`;
const cache = '/var/cache/filtermail';
const wants = '/etc/systemd/system/multi-user.target.wants';
const units = ['filtermail', 'filtermail-incoming', 'filtermail-transport'].map(name => `${name}.service`);

/** Ours as it is; and with a small program, in two versions and one that cannot be installed. */
const whole = `/tmp/${basename(deb)}`;
const [ours, newer, failing] = ['/tmp/1.deb', '/tmp/99.deb', '/tmp/999.deb'] as const;
const made = [deb, ...[ours, newer, failing].map(file => join(scratch, basename(file)))];

/** Says so whenever there is no program. */
const watched = (script: string) => `
  while [ ! -e /run/enough ]; do [ -x ${program} ] || echo no program; done &
  setsid sh -c '${script}'
  status=$?
  touch /run/enough; wait; rm /run/enough
  exit $status`;

export function testInstallation(): void {
  if (!are(whyNoRoots('ip', 'dpkg'))) return;
  let overlay: Overlay;
  let clean: string;

  before(() => Promise.all([ours, newer, failing].map(remade)));
  beforeEach(async () => {
    await overlay?.[Symbol.asyncDispose]();
    overlay = await Overlay.make(made);
    await overlay.do(`mkdir -p /run/systemd/system ${wants}; rm -f ${program}*`);
    clean = await overlay.changes();
  });
  after(() => overlay?.[Symbol.asyncDispose]());

  const inside = (script: string) => overlay.do(script);
  const told = async () => (await inside('cat /run/systemctl.log; rm -f /run/systemctl.log')).trim().split('\n');
  const write = (file: string, text: string) => overlay.write(file, text);

  /** What the deployment leaves: a file of another name takes the place of what is there. */
  async function deploy(says = 'peer'): Promise<void> {
    await write(`${program}.new`, `#!/bin/sh\necho ${says}\n`);
    await inside(`touch -d 2020-02-02 ${program}.new; mv ${program}.new ${program}`);
  }
  async function peer(): Promise<void> {
    await deploy();
    await write(
      `/etc/systemd/system/${units[0]}`,
      `# changed\nExecStart=${program} /usr/local/lib/chatmaild/chatmail.ini outgoing\n`,
    );
    clean = await overlay.changes();
    assert.match(clean, /^[0-9a-f]{64} {2}usr\/local\/bin\/filtermail$/m);
  }
  async function isOurs(says = 'ours 1'): Promise<void> {
    assert.equal(await inside(`readlink ${program}; ${program}`), `${installed}\n${says}\n`);
  }
  const keeps = async (says: string) => assert.equal(await inside(saved), `${says}\n`);
  const isAsBefore = async () => assert.equal(await overlay.changes(), clean);

  test("over a peer: the peer is kept and comes back, an admin's unit stays", async () => {
    await peer();
    await inside(`dpkg -i ${whole}`);
    assert.equal(await inside(`readlink ${program}`), `${installed}\n`);
    assert.equal((await overlay.try(program)).status, 64);
    await keeps('peer');
    assert.match(await inside(`cat /etc/systemd/system/${units[0]}`), /^# changed/);
    assert.equal(await inside('dpkg --verify filtermail'), '');
    const restarts = units.map(unit => `try-restart ${unit}`);
    assert.deepEqual(await told(), ['daemon-reload', ...restarts], 'nothing is started or enabled');

    await inside('dpkg -r filtermail');
    await isAsBefore();
    const ends = units.slice(1).map(unit => `stop ${unit}`);
    assert.deepEqual(await told(), ['daemon-reload', `try-restart ${units[0]}`, ...ends], 'a unit without a file ends');
    await inside(`dpkg -i ${ours}`);
    await isOurs();
    await inside('dpkg -P filtermail');
    await isAsBefore();
  });

  test('where there was nothing: nothing is left, and what ran is stopped', async () => {
    await write(`/etc/systemd/system/${units[0]}`, `ExecStart=${program} x\n`);
    clean = await overlay.changes();
    await inside(`dpkg -i ${ours}`);
    await isOurs();
    await told();
    await inside('dpkg -P filtermail');
    await isAsBefore();
    assert.deepEqual(await told(), ['daemon-reload', ...units.map(unit => `stop ${unit}`)]);
  });

  for (const [what, make] of [
    ['a symbolic link', `mkdir /opt/peer; echo peer >/opt/peer/filtermail; ln -s /opt/peer/filtermail ${program}`],
    ['a relative link', `ln -s ../../bin/true ${program}`],
    ['a link to a directory', `ln -s /opt ${program}`],
    ['a link to nowhere', `ln -s /nowhere ${program}`],
  ] as const) {
    test(`where the peer is ${what}`, async () => {
      await inside(make);
      clean = await overlay.changes();
      await inside(`dpkg -i ${ours}`);
      await isOurs();
      await inside('dpkg -P filtermail');
      await isAsBefore();
    });
  }

  test('where there is a directory: says so, and goes on when it has been moved away', async () => {
    await inside(`mkdir ${program}`);
    const { status, output } = await overlay.try(`dpkg -i ${ours}`);
    assert.equal(status, 1);
    assert.match(
      output,
      /^\/usr\/local\/bin\/filtermail is a directory: move it away, then run: dpkg --configure filt/m,
    );
    await inside(`rmdir ${program}; dpkg --configure filtermail`);
    await isOurs();
  });

  test('where /usr/local/bin is elsewhere, or not at all', async () => {
    for (const make of ['mkdir /opt/bin; ln -s /opt/bin /usr/local/bin; cp /bin/true /opt/bin/filtermail', '']) {
      await inside(`rm -rf /usr/local/bin; ${make}`);
      await inside(`dpkg -i ${ours}`);
      await isOurs();
      await inside('dpkg -P filtermail');
      assert.equal((await overlay.try(program)).status, make ? 0 : 127);
    }
  });

  test('where there are no hard links: a copy; and on a full disk the peer stays', async () => {
    await write('/tmp/linkless/ln', '#!/bin/sh\n[ "$1" != -P ] && exec /bin/ln "$@"\n');
    const install = `PATH=/tmp/linkless:$PATH dpkg -i ${ours}`;
    await peer();
    await inside(install);
    assert.equal(await inside(`stat -c '%a %h %y' ${saved} | cut -c 1-16`), '755 1 2020-02-02\n');
    await keeps('peer');
    await inside('dpkg -P filtermail');
    await isAsBefore();

    await inside('mount -t tmpfs -o size=100k tmpfs /usr/local/bin');
    await deploy();
    await inside(`head -c 70000 /dev/zero >>${program}`);
    assert.match((await overlay.try(install)).output, /No space left on device/);
    assert.match(await inside(`head -n 2 ${program}`), /echo peer/);
    await inside(`mount -o remount,size=1m /usr/local/bin; ${install}`);
    await isOurs();
    await inside('dpkg -P filtermail');
    assert.match(await inside(`head -n 2 ${program}; ls /usr/local/bin`), /echo peer\nfiltermail\n$/);
  });

  test('services that run another program are left alone, whatever systemctl says nothing fails', async () => {
    await peer();
    await write(`/etc/systemd/system/${units[1]}`, 'ExecStart=/opt/other/filtermail x\n');
    await write(`/etc/systemd/system/${units[2]}`, `ExecStart=${program} x\n`);
    await write(`/etc/systemd/system/${units[2]}.d/own.conf`, `ExecStart=\nExecStart=${program}-beta x\n`);
    clean = await overlay.changes();
    for (const command of [`dpkg -i ${ours}`, 'dpkg -r filtermail']) {
      await inside(command);
      assert.deepEqual(await told(), ['daemon-reload', `try-restart ${units[0]}`]);
    }
    await inside(`touch /run/systemctl.fails; dpkg -i ${ours}; dpkg -P filtermail`);
    await isAsBefore();
  });

  test('without systemd', async () => {
    await inside('rmdir /run/systemd/system');
    await peer();
    await inside(`dpkg -i ${ours}`);
    await isOurs();
    await inside('dpkg -P filtermail');
    await isAsBefore();
    assert.equal((await overlay.try('test -e /run/systemctl.log')).status, 1);
  });

  test('an upgrade, one that fails and a downgrade: the peer is still the one that comes back', async () => {
    await peer();
    await inside(`dpkg -i ${ours}; dpkg -i ${newer}`);
    await isOurs('ours 99');
    await told();
    assert.equal((await overlay.try(`dpkg -i ${failing}`)).status, 1);
    await isOurs('ours 99');
    assert.equal(await inside('dpkg-query --show filtermail; test ! -e /run/systemctl.log'), 'filtermail\t99\n');
    await inside(`dpkg -i ${ours}`);
    await isOurs();
    await keeps('peer');
    await inside('dpkg -P filtermail');
    await isAsBefore();
  });

  test('after the deployment has put a peer there again: that is the one that stays or comes back', async () => {
    await peer();
    await inside(`dpkg -i ${ours}`);
    await deploy('newer peer');
    await inside(`dpkg -i ${ours}`);
    await isOurs();
    await keeps('newer peer');
    await inside('dpkg -r filtermail');
    assert.equal(await inside(`${program}; ls -d ${program}*`), `newer peer\n${program}\n`);

    await inside(`dpkg -i ${ours}`);
    await deploy();
    await inside('dpkg -P filtermail');
    await isAsBefore();
  });

  test('purge takes what the units have made, and the links to them; not those that others need', async () => {
    await inside(`rm -f ${wants}/*; dpkg -i ${ours}; mkdir -p ${cache} /var/cache/private/filtermail`);
    await inside(`ln -s /lib/systemd/system/${units[0]} /usr/lib/systemd/system/${units[1]} ${wants}`);
    await inside(`ln -s /etc/systemd/system/${units[2]} ${wants}`); // of a file that has been moved away
    await inside(`dpkg -r filtermail; ls -d ${cache}`);
    assert.equal(await inside(`ls ${wants}`), `${units.toSorted().join('\n')}\n`);
    await inside('dpkg -P filtermail');
    assert.equal(await inside(`ls ${wants}; find /var/cache -name 'filtermail*'`), `${units[2]}\n`);

    await write(`/etc/systemd/system/${units[0]}`, 'ExecStart=/opt/other/filtermail x\n');
    await inside(`dpkg -i ${ours}; ln -s /lib/systemd/system/${units[0]} ${wants}; dpkg -P filtermail`);
    assert.equal(await inside(`ls ${wants}`), `${units[2]}\n${units[0]}\n`);
  });

  const killers = {
    'after any command': (turn: number) => `echo ${turn} >/run/lives; PATH=/tmp/mortal:$PATH`,
    'at any time': (turn: number) => `(sleep ${0.02 * 1.6 ** turn}; kill -KILL 0) &`,
  };
  for (const [what, isThere, command] of [
    ['an installation', false, `dpkg -i ${ours}`],
    ['an upgrade', true, `dpkg -i ${newer}`],
    ['a removal', true, 'dpkg -r filtermail'],
  ] as const) {
    for (const [when, killer] of Object.entries(killers)) {
      test(`${what}, killed ${when} and done again: there always is a program, and the peer comes back`, async () => {
        await peer();
        for (let turn = 0, ended = false; !ended; turn++) {
          if (isThere) await inside(`dpkg -i ${ours}`);
          const first = await overlay.try(watched(`${killer(turn)} ${command}`));
          ended = first.status === 0;
          assert.ok(ended || first.status === 137, first.output);
          const second = await overlay.try(watched(`dpkg --configure -a; ${command}`));
          assert.equal(second.status, 0, second.output);
          assert.doesNotMatch(first.output + second.output, /no program/);
          if (command !== 'dpkg -r filtermail') await keeps('peer');
          await inside('dpkg -P filtermail');
          await isAsBefore();
        }
      });
    }
  }

  test('without libatomic1: dpkg says so, and the peer can be had back', async () => {
    await peer();
    await inside('dpkg --force-depends -P libatomic1');
    clean = await overlay.changes();
    const { status, output } = await overlay.try(`dpkg -i ${ours}`);
    assert.equal(status, 1);
    assert.match(output, /filtermail depends on libatomic1; however:\n\s+Package libatomic1 is not installed/);
    assert.equal(await inside(program), 'peer\n', 'it is not configured');
    await inside('dpkg -P filtermail');
    await isAsBefore();
  });
}

/** Our package in the version that the file is named after; the last one fails. */
async function remade(file: string): Promise<void> {
  const version = basename(file, '.deb');
  const tree = place(`remade-${version}`);
  await run('dpkg-deb', ['--raw-extract', deb, tree]);
  const control = join(tree, 'DEBIAN/control');
  writeFileSync(control, readFileSync(control, 'utf8').replace(/^Version: .*$/m, `Version: ${version}`));
  put(join(tree, installed), `#!/bin/sh\necho ours ${version}\n`, 0o755);
  if (file === failing) put(join(tree, 'DEBIAN/preinst'), '#!/bin/sh\nexit 1\n', 0o755);
  await run('dpkg-deb', ['--root-owner-group', '-Znone', '--build', tree, join(scratch, basename(file))]);
  rmSync(tree, { recursive: true });
}
