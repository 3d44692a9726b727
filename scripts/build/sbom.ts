/** The bill of materials in CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/): Node, and the npm packages of which something is in the bundle. */
import { createHash } from 'node:crypto';
import type { Package } from './bundle.ts';
import { locked } from './lock.ts';
import { architectures, nodePackage } from './node-binary.ts';
import { homepage, release } from './release.ts';

type Component = Readonly<{ 'bom-ref': string; purl: string; [key: string]: unknown }>;

export function billOfMaterials(packages: readonly Package[]): string {
  const { name, version, description, license, date } = release;
  const itself: Component = {
    ...identified('application', name, version),
    description,
    licenses: licensed(license),
    externalReferences: [{ type: 'website', url: homepage }],
  };
  const nodes = architectures.map(arch => nodeComponent(nodePackage(arch)));
  const libraries = packages.map(libraryComponent);
  const needed = packages.map(({ path, needs }) => needs.flatMap(need => providerOf(need, path, packages) ?? []));
  const entries = packages.filter((_, index) => !needed.some(needs => needs.includes(packages[index] as Package)));
  const bill = {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: { timestamp: new Date(date * 1000).toISOString(), component: itself },
    components: [...nodes, ...libraries],
    dependencies: [
      { ref: itself['bom-ref'], dependsOn: [...nodes, ...entries.map(libraryComponent)].map(refOf) },
      ...nodes.map(node => ({ ref: refOf(node) })),
      ...libraries.map((library, index) => ({
        ref: refOf(library),
        dependsOn: needed[index]?.map(libraryComponent).map(refOf),
      })),
    ],
  };
  return `${JSON.stringify({ ...bill, serialNumber: serialNumber(JSON.stringify(bill)) }, null, 2)}\n`;
}

function nodeComponent(name: string): Component {
  const { version, integrity } = locked(`node_modules/${name}`);
  return {
    ...identified('platform', name, version),
    description: 'Node.js, in the single file and in the .deb of this architecture',
    cpe: `cpe:2.3:a:nodejs:node.js:${version}:*:*:*:*:*:*:*`,
    licenses: licensed('MIT'),
    hashes: hashesOf(integrity),
  };
}

function libraryComponent({ path, name, version, license, inlined }: Package): Component {
  return {
    ...identified('library', name, version),
    licenses: licensed(license),
    ...(!inlined && { hashes: hashesOf(locked(path).integrity) }),
  };
}

function identified(type: string, name: string, version: string) {
  const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
  return { type, 'bom-ref': purl, name, version, purl };
}

function licensed(spdx: string) {
  return spdx.includes(' ') ? [{ expression: spdx }] : [{ license: { id: spdx } }];
}

/** Of the archive that npm installs. */
function hashesOf(integrity: string) {
  return [{ alg: 'SHA-512', content: Buffer.from(integrity.replace('sha512-', ''), 'base64').toString('hex') }];
}

/** The package that an import in `path` leads to, if it is in the bundle: the nearest, going up. */
function providerOf(name: string, path: string, packages: readonly Package[]): Package | undefined {
  for (let at = path; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    const wanted = at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`;
    const found = packages.find(each => each.path === wanted);
    if (found !== undefined || at === '') return found;
  }
}

function refOf(component: Component): string {
  return component['bom-ref'];
}

/** A UUID, version 8: the same for the same content. */
function serialNumber(content: string): string {
  const hex = createHash('sha256').update(content).digest('hex');
  const uuid = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)];
  return `urn:uuid:${uuid.join('-')}`;
}
