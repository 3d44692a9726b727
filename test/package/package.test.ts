// What `npm run build` makes: complete, the same every time, and each package installed and put to work.

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { testBareDebian } from './bare-debian.ts';
import { testBillOfMaterials } from './bill.ts';
import { testDeb } from './deb.ts';
import { testInstallation } from './installation.ts';
import { testNpmPackage } from './npm.ts';
import { build, dist, names, place, run } from './packages.ts';
import { testSingleFile } from './single.ts';

before(() => build(dist));

describe('dist', () => {
  test('holds every package and nothing else', () => {
    const architectures = ['x64', 'arm64'].map(names.single);
    const debs = ['amd64', 'arm64'].map(names.deb);
    const others = [names.bill, names.notices, names.npm, 'SHA256SUMS'];
    assert.deepEqual(readdirSync(dist).sort(), [...architectures, ...debs, ...others].sort());
  });

  test('SHA256SUMS has a line for each, and they are right', async () => {
    const listed = readFileSync(join(dist, 'SHA256SUMS'), 'utf8').matchAll(/^[0-9a-f]{64} {2}(.+)$/gm);
    const others = readdirSync(dist).filter(name => name !== 'SHA256SUMS');
    assert.deepEqual(
      [...listed].map(([, name]) => name),
      others.sort(),
    );
    await run('sh', ['-c', 'cd "$0" && sha256sum --check --strict --quiet SHA256SUMS', dist]);
  });

  test('a second build elsewhere, under another umask and after one that was killed, makes the same files', async () => {
    const again = place('again');
    mkdirSync(join(again, '.work'));
    writeFileSync(join(again, '.work/left'), 'of a build that was killed');
    await build(again, '077');
    const modes = (directory: string) =>
      readdirSync(directory).map(name => [name, (statSync(join(directory, name)).mode & 0o777).toString(8)]);
    const singles = ['x64', 'arm64'].map(names.single);
    assert.deepEqual(
      modes(dist),
      readdirSync(dist).map(name => [name, singles.includes(name) ? '755' : '644']),
    );
    assert.deepEqual(modes(again), modes(dist));
    assert.equal(
      readFileSync(join(again, 'SHA256SUMS'), 'utf8'),
      readFileSync(join(dist, 'SHA256SUMS'), 'utf8'),
      'different octets',
    );
    rmSync(again, { recursive: true });
  });
});

describe('the bill of materials', testBillOfMaterials);
describe('the single file', testSingleFile);
describe('the single file on Debian without Node', testBareDebian);
describe('the .deb', testDeb);
describe('the .deb, installed', testInstallation);
describe('the npm package', testNpmPackage);
