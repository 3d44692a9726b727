/**
 * Makes every package of this version from this tree: `main.ts [directory]`, by default dist/. The same tree gives the same octets.
 *
 * One bundle is in all of them: on npm as it is, in a file together with Node, and that file in a .deb.
 */
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { makeBundle } from './bundle.ts';
import { makeDeb } from './debian.ts';
import { type Architecture, architectures, unpackNode } from './node-binary.ts';
import { noticesOf } from './notices.ts';
import { makeNpmPackage } from './npm-package.ts';
import { put, release } from './release.ts';
import { billOfMaterials } from './sbom.ts';
import { makeSingleFile } from './single-file.ts';

const out = resolve(process.argv[2] ?? 'dist');
const work = join(out, '.work');
const removeWork = () => rmSync(work, { recursive: true, force: true });
removeWork(); // of a build that was killed
mkdirSync(work, { recursive: true });
process.on('exit', removeWork);
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const { name, version, date } = release;
process.env.SOURCE_DATE_EPOCH = String(date); // for what is run, too
const bundle = await makeBundle(join(work, 'bundle'));
const nodes = await Promise.all(
  architectures.map(async arch => ({ arch, ...(await unpackNode(arch, join(work, arch))) })),
);
const notices = noticesOf(bundle.packages, nodes[0]); // Node's licence is one for all
const made = [
  ...(await Promise.all(nodes.map(({ arch, binary }) => makeForArchitecture(arch, binary)))).flat(),
  await makeNpmPackage(bundle, work),
  write(`${name}-${version}.cdx.json`, billOfMaterials(bundle.packages)),
  write('NOTICES.txt', notices),
].sort();
const sums = made.map(file => `${createHash('sha256').update(readFileSync(file)).digest('hex')}  ${basename(file)}\n`);
for (const file of [...made, write('SHA256SUMS', sums.join(''))]) {
  const place = join(out, basename(file));
  chmodSync(file, statSync(file).mode & 0o100 ? 0o755 : 0o644); // whatever the umask is
  renameSync(file, place);
  console.log(`${String(statSync(place).size).padStart(11)}  ${place}`);
}

async function makeForArchitecture(arch: Architecture, node: string): Promise<string[]> {
  const program = join(work, `${name}-${version}-linux-${arch}`);
  await makeSingleFile(bundle, node, program);
  return [program, await makeDeb(arch, program, notices, work)];
}

function write(file: string, content: string): string {
  put(join(work, file), content);
  return join(work, file);
}
