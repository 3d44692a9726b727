// What is in the .deb.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { dist, names, place, root, run, version } from './packages.ts';

const documents = ['README.md', 'chatmail.ini.example', 'docs/operate.md', 'docs/replace.md'];
const manPages = { 'filtermail.1': 'man1', 'chatmail.ini.5': 'man5' };
const units = readdirSync(join(root, 'systemd')).filter(name => name.endsWith('.service'));
const expected = [
  '-rwxr-xr-x ./usr/lib/filtermail/filtermail',
  ...units.map(unit => `-rw-r--r-- ./usr/lib/systemd/system/${unit}`),
  ...[...documents, 'changelog.gz', 'copyright'].map(document => `-rw-r--r-- ./usr/share/doc/filtermail/${document}`),
  ...Object.entries(manPages).map(([page, section]) => `-rw-r--r-- ./usr/share/man/${section}/${page}.gz`),
];

export function testDeb(): void {
  for (const [architecture, arch] of [
    ['amd64', 'x64'],
    ['arm64', 'arm64'],
  ] as const) {
    describe(architecture, () => {
      const file = join(dist, names.deb(architecture));
      let tree = '';
      before(async () => {
        tree = place(architecture);
        await run('dpkg-deb', ['--raw-extract', file, tree]);
      });
      const read = (path: string) => readFileSync(join(tree, path));

      test('has these files, of root, with these modes', async () => {
        const lines = (await run('dpkg-deb', ['--contents', file])).trim().split('\n');
        const entries = lines.map(line => line.split(/\s+/));
        for (const [, owner] of entries) assert.equal(owner, 'root/root');
        const directories = entries.filter(([mode]) => mode?.startsWith('d'));
        for (const [mode, , , , , path] of directories) assert.equal(`${mode} ${path}`, `drwxr-xr-x ${path}`);
        const files = entries.filter(entry => !directories.includes(entry));
        assert.deepEqual(files.map(([mode, , , , , path]) => `${mode} ${path}`).sort(), [...expected].sort());
      });

      test('says what it is and what it needs', async () => {
        const fields = await run('dpkg-deb', ['--field', file]);
        assert.match(fields, /^Package: filtermail$/m);
        assert.match(fields, new RegExp(`^Version: ${RegExp.escape(version)}$`, 'm'));
        assert.match(fields, new RegExp(`^Architecture: ${architecture}$`, 'm'));
        const [, depends = ''] = /^Depends: (.*)$/m.exec(fields) ?? [];
        assert.deepEqual(
          depends.split(', ').map(each => each.replace(/ .*/, '')),
          ['ca-certificates', 'libatomic1', 'libc6', 'libgcc-s1', 'libstdc++6'],
        );
      });

      test('is made of what is in the tree and in dist', () => {
        assert.ok(
          read('usr/lib/filtermail/filtermail').equals(readFileSync(join(dist, names.single(arch)))),
          'program',
        );
        for (const unit of units)
          assert.deepEqual(read(`usr/lib/systemd/system/${unit}`), readFileSync(join(root, 'systemd', unit)));
        for (const [page, section] of Object.entries(manPages))
          assert.deepEqual(
            gunzipSync(read(`usr/share/man/${section}/${page}.gz`)),
            readFileSync(join(root, 'docs', page)),
          );
        const copyright = read('usr/share/doc/filtermail/copyright').toString();
        for (const holder of ['filtermail', 'mailauth', 'Node.js'])
          assert.ok(copyright.includes(`\n${holder} `), holder);
        assert.equal(copyright, readFileSync(join(dist, names.notices), 'utf8'));
      });

      test('its documents lie as in the tree: links between them work', () => {
        for (const document of documents)
          assert.deepEqual(read(`usr/share/doc/filtermail/${document}`), readFileSync(join(root, document)));
      });

      test('its units run the program where postinst puts it', () => {
        for (const unit of units)
          assert.match(
            read(`usr/lib/systemd/system/${unit}`).toString(),
            /^ExecStart=\/usr\/local\/bin\/filtermail \/usr\/local\/lib\/chatmaild\/chatmail\.ini (?:in|out|trans)/m,
          );
      });
    });
  }
}
