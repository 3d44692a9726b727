// The single file where there is nothing but the packages that the .deb depends on.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { are, whyNoRoots } from './needs.ts';
import { deb, run, scratch, single } from './packages.ts';
import { modes, works } from './work.ts';

/** Only the machine's own mirror is asked. */
const mirror = `apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/$'`;

/** Enters the root "$0" with the machine's /proc, /dev and temporary directory and runs the program there; it stays the same process. */
const enter = `
  mount --bind /proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --bind "$TEMPORARY" "$0$TEMPORARY" &&
  mount --bind "$1" "$0/filtermail" && shift && exec chroot "$0" /filtermail "$@"`;

export function testBareDebian(): void {
  if (!are(whyNoRoots('mmdebstrap'))) return;
  for (const suite of ['bookworm', 'trixie']) {
    describe(suite, () => {
      const root = join(scratch, suite);

      before(async () => {
        const depends = await run('dpkg-deb', ['--field', deb, 'Depends']);
        const packages = depends.trim().replaceAll(/ \([^)]*\)/g, '');
        const from = (await run('sh', ['-c', mirror])).trim();
        const options = ['--quiet', '--variant=extract', `--include=base-files,${packages.replaceAll(' ', '')}`];
        await run('mmdebstrap', [...options, suite, root, from]);
        await run('mkdir', ['-p', join(root, 'proc'), join(root, tmpdir())]);
        await run('touch', [join(root, 'filtermail')]);
      });

      for (const mode of modes) {
        test(`works: ${mode}`, async () => {
          assert.ok(!existsSync(join(root, 'usr/bin/node')));
          const env = { PATH: process.env.PATH, TEMPORARY: tmpdir() };
          await works(mode, { program: single, through: ['unshare', '--mount', 'sh', '-c', enter, root], env });
        });
      }
    });
  }
}
