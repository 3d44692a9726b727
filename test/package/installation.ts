// The .deb under real dpkg, on a relay on which another program of this name runs already, with units that an admin has changed.

import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { before, beforeEach, test } from 'node:test';
import { put } from '../../scripts/build/release.ts';
import { are, whyNoRoots } from './needs.ts';
import { Overlay } from './overlay.ts';
import { deb, dist, place, run, scratch } from './packages.ts';

const program = '/usr/local/bin/filtermail';
const ours = `/mnt/dist/${basename(deb)}`;
const newer = '/mnt/newer.deb';
const failing = '/mnt/failing.deb';
const units = ['filtermail', 'filtermail-incoming', 'filtermail-transport'].map(name => `${name}.service`);

/** Notes what it is told, and knows only units that have a file. */
const systemctl = `#!/bin/sh
echo "$*" >>/run/systemctl.log
[ "$1" = try-restart ] || exit 0
shift
for unit; do
  [ -e "/etc/systemd/system/$unit" ] || [ -e "/usr/lib/systemd/system/$unit" ] || exit 5
done
`;

export function testInstallation(): void {
  if (!are(whyNoRoots())) return;
  let overlay: Overlay;
  let clean: string;

  before(async () => {
    assert.ok(deb.startsWith(dist));
    put(join(scratch, 'bin/systemctl'), systemctl, 0o755);
    await remade(newer, tree => {
      const control = join(tree, 'DEBIAN/control');
      writeFileSync(control, readFileSync(control, 'utf8').replace(/^Version: .*$/m, 'Version: 99'));
    });
    await remade(failing, tree => {
      const control = join(tree, 'DEBIAN/control');
      writeFileSync(control, readFileSync(control, 'utf8').replace(/^Version: .*$/m, 'Version: 999'));
      appendFileSync(join(tree, 'DEBIAN/preinst'), 'exit 1\n');
    });
  });
  beforeEach(async () => {
    overlay?.[Symbol.dispose]();
    overlay = await Overlay.make();
    overlay.do('mkdir -p /run/systemd/system /etc/systemd/system');
  });

  const first = (path: string) => overlay.do(`head -c 4 ${path}`);
  const isOurs = () => assert.equal(first(program), '\x7fELF');
  const told = () => overlay.do('cat /run/systemctl.log; rm /run/systemctl.log').trim().split('\n');

  /** What the peer's deployment leaves. */
  function peer(): void {
    overlay.do(`echo peer >${program}; chmod 750 ${program}; touch -d 2020-02-02 ${program}`);
    overlay.do('echo changed >/etc/systemd/system/filtermail.service');
    clean = overlay.changes();
    assert.match(clean, /^[0-9a-f]{64} {2}usr\/local\/bin\/filtermail$/m);
  }
  function isAsBefore(): void {
    assert.equal(overlay.changes(), clean);
    assert.equal(overlay.try('dpkg-divert --list "*filtermail*"').output, '');
  }

  test("over a peer: the peer steps aside and comes back, an admin's unit stays", () => {
    peer();
    overlay.do(`dpkg -i ${ours}`);
    isOurs();
    assert.equal(overlay.do(`cat ${program}.replaced`), 'peer\n');
    assert.equal(overlay.do('cat /etc/systemd/system/filtermail.service'), 'changed\n');
    assert.equal(overlay.do('dpkg --verify filtermail'), '');
    assert.equal(overlay.try(program).status, 64);
    assert.deepEqual(told(), ['daemon-reload', `try-restart ${units.join(' ')}`], 'nothing is started or enabled');

    overlay.do('dpkg -r filtermail');
    isAsBefore();
    const ends = units.slice(1).flatMap(unit => [`try-restart ${unit}`, `stop ${unit}`]);
    assert.deepEqual(told(), ['daemon-reload', `try-restart ${units[0]}`, ...ends], 'a unit without a file ends');
    overlay.do('dpkg -P filtermail');
    isAsBefore();
  });

  test('where there was nothing: nothing is left, and what ran is stopped', () => {
    clean = overlay.changes();
    overlay.do(`dpkg -i ${ours}`);
    isOurs();
    overlay.do(`mkdir -p /etc/systemd/system/multi-user.target.wants
      ln -s /usr/lib/systemd/system/${units[0]} /etc/systemd/system/multi-user.target.wants/`);
    told();
    overlay.do('dpkg -P filtermail');
    overlay.do('rmdir --ignore-fail-on-non-empty /etc/systemd/system/multi-user.target.wants');
    isAsBefore();
    assert.deepEqual(told(), ['daemon-reload', ...units.map(unit => `stop ${unit}`)]);
  });

  test('where the peer is a symbolic link', () => {
    overlay.do(`mkdir /opt/peer; echo peer >/opt/peer/filtermail; ln -s /opt/peer/filtermail ${program}`);
    clean = overlay.changes();
    overlay.do(`dpkg -i ${ours}`);
    isOurs();
    assert.equal(overlay.do('cat /opt/peer/filtermail'), 'peer\n');
    overlay.do('dpkg -P filtermail');
    isAsBefore();
  });

  test('without systemd', () => {
    overlay.do('rmdir /run/systemd/system');
    peer();
    overlay.do(`dpkg -i ${ours}`);
    isOurs();
    overlay.do('dpkg -P filtermail');
    isAsBefore();
    assert.equal(overlay.try('test -e /run/systemctl.log').status, 1);
  });

  test('an upgrade, and one that fails: the peer is still the one that comes back', () => {
    peer();
    overlay.do(`dpkg -i ${ours}`);
    overlay.do(`dpkg -i ${newer}`);
    isOurs();
    assert.equal(overlay.try(`dpkg -i ${failing}`).status, 1);
    isOurs();
    assert.equal(overlay.do('dpkg-query --show filtermail'), 'filtermail\t99\n');
    assert.equal(overlay.do(`cat ${program}.replaced`), 'peer\n');
    overlay.do('dpkg -P filtermail');
    isAsBefore();
  });

  test('an installation that fails leaves the peer in its place', () => {
    peer();
    assert.equal(overlay.try(`dpkg -i ${failing}`).status, 1);
    isAsBefore();
  });

  test('without libatomic1: dpkg says so, and the peer can be had back', () => {
    peer();
    overlay.do('dpkg --force-depends -P libatomic1');
    clean = overlay.changes();
    const { status, output } = overlay.try(`dpkg -i ${ours}`);
    assert.equal(status, 1);
    assert.match(output, /filtermail depends on libatomic1; however:\n\s+Package libatomic1 is not installed/);
    overlay.do('dpkg -P filtermail');
    isAsBefore();
  });
}

/** Our package with a change, as the file `name` of an overlay. */
async function remade(name: string, change: (tree: string) => void): Promise<void> {
  const tree = place('remade');
  await run('dpkg-deb', ['--raw-extract', deb, tree]);
  change(tree);
  await run('dpkg-deb', ['--root-owner-group', '-Znone', '--build', tree, join(scratch, basename(name))]);
  rmSync(tree, { recursive: true });
}
