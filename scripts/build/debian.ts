/**
 * The .deb. /usr/local is no place for packages, but it is where the units of chatmail relays expect the program: debian/postinst makes a
 * link there and keeps what it replaces. Units go below /usr/lib: an admin's in /etc come first.
 */
import { createHash } from 'node:crypto';
import { chmodSync, readdirSync, readFileSync, statSync, utimesSync } from 'node:fs';
import { join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Architecture } from './node-binary.ts';
import { fromTree, homepage, manPages, put, release, root, run } from './release.ts';

const architectureNames: Readonly<Record<Architecture, string>> = { x64: 'amd64', arm64: 'arm64' };

/** What Node's binary is linked with; and the authorities that transport trusts. */
const depends = 'ca-certificates, libatomic1, libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 5.2)';
const recommends = 'postfix';

const documents = ['README.md', 'chatmail.ini.example', 'docs/replace.md', 'docs/operate.md'];

/** Makes it in the directory `work`; its path. */
export async function makeDeb(arch: Architecture, program: string, notices: string, work: string): Promise<string> {
  const architecture = architectureNames[arch];
  const version = release.version.replace('-', '~'); // a prerelease comes before the release
  const name = `${release.name}_${version}_${architecture}`;
  const tree = join(work, name);
  putFiles(tree, program, notices);

  const files = filesIn(tree);
  const kilobytes = files.reduce((sum, file) => sum + Math.ceil(statSync(file).size / 1024), 0);
  const sums = files.map(file => `${md5(file)}  ${relative(tree, file)}\n`);
  put(join(tree, 'DEBIAN/md5sums'), sums.join(''));
  put(join(tree, 'DEBIAN/control'), controlOf(architecture, version, kilobytes));
  for (const script of ['postinst', 'prerm', 'postrm'])
    put(join(tree, 'DEBIAN', script), fromTree(`scripts/build/debian/${script}`), 0o755);

  for (const path of [...readdirSync(tree, { recursive: true, encoding: 'utf8' }), '.'].map(path => join(tree, path))) {
    if (statSync(path).isDirectory()) chmodSync(path, 0o755); // whatever the umask is
    utimesSync(path, release.date, release.date);
  }
  const deb = join(work, `${name}.deb`);
  // One thread: with more zstd's output is another. Beyond level 10 it takes much time for little.
  await run('dpkg-deb', ['--root-owner-group', '-Zzstd', '-z10', '--threads-max=1', '--build', tree, deb]);
  return deb;
}

function putFiles(tree: string, program: string, notices: string): void {
  put(join(tree, 'usr/lib/filtermail/filtermail'), readFileSync(program), 0o755);
  const units = readdirSync(join(root, 'systemd')).filter(name => name.endsWith('.service'));
  for (const unit of units) put(join(tree, 'usr/lib/systemd/system', unit), fromTree(`systemd/${unit}`));
  for (const page of manPages)
    put(join(tree, `usr/share/man/man${page.at(-1)}/${page}.gz`), compressed(fromTree(`docs/${page}`)));
  const doc = join(tree, 'usr/share/doc', release.name);
  for (const document of documents) put(join(doc, document), fromTree(document)); // they link to each other
  put(join(doc, 'changelog.gz'), compressed(fromTree('CHANGELOG.md')));
  put(join(doc, 'copyright'), notices);
}

function controlOf(architecture: string, version: string, kilobytes: number): string {
  return `Package: ${release.name}
Version: ${version}
Architecture: ${architecture}
Maintainer: The filtermail developers <root@localhost>
Installed-Size: ${kilobytes}
Depends: ${depends}
Recommends: ${recommends}
Section: mail
Priority: optional
Homepage: ${homepage}
Description: ${release.description.replace(/^./, first => first.toLowerCase())}
 Postfix hands every message to filtermail before queueing it, and every
 message that leaves. Only end-to-end encrypted mail passes.
 .
 Installing it starts and enables nothing; services that run already are
 restarted. A program that was at /usr/local/bin/filtermail is kept beside it
 and comes back when the package is removed.
`;
}

function compressed(text: string): Buffer {
  return gzipSync(text, { level: 9 });
}

function filesIn(tree: string): string[] {
  const entries = readdirSync(tree, { recursive: true, withFileTypes: true });
  return entries
    .filter(entry => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .sort();
}

function md5(file: string): string {
  return createHash('md5').update(readFileSync(file)).digest('hex');
}
