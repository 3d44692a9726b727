// `npm install -g` of the npm package, without a network.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { dist, names, place, run, version } from './packages.ts';
import { modes, tellsUsage, works } from './work.ts';

export function testNpmPackage(): void {
  let prefix = '';
  let installed = '';
  const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` };
  const start = () => ({ program: join(prefix, 'bin/filtermail'), env });

  before(async () => {
    prefix = place('prefix');
    installed = join(prefix, 'lib/node_modules/filtermail');
    const offline = ['--offline', `--cache=${place('npm-cache')}`, '--loglevel=error'];
    await run('sh', ['scripts/npm.sh', 'install', '--global', `--prefix=${prefix}`, ...offline, join(dist, names.npm)]);
  });

  test('tells its usage', () => tellsUsage(start()));
  for (const mode of modes) test(`works: ${mode}`, () => works(mode, start()));

  test('says what it is and brings no dependencies', () => {
    const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
    assert.deepEqual(
      [manifest.name, manifest.version, manifest.license, manifest.engines],
      ['filtermail', version, 'MIT', { node: '>=26' }],
    );
    assert.equal(manifest.dependencies, undefined);
    assert.ok(!existsSync(join(installed, 'node_modules')));
  });

  test('comes with documents and the licences of all that is in it', () => {
    for (const name of ['README.md', 'CHANGELOG.md', 'LICENSE', 'chatmail.ini.example'])
      assert.ok(existsSync(join(installed, name)), name);
    for (const name of ['README.md', 'docs/replace.md', 'docs/operate.md']) {
      const links = readFileSync(join(installed, name), 'utf8').matchAll(/\]\(([^)#:]+\.(?:md|example))/g);
      for (const [, link = ''] of links)
        assert.ok(existsSync(join(installed, dirname(name), link)), `${name}: ${link}`);
    }
    for (const page of ['man1/filtermail.1', 'man5/chatmail.ini.5'])
      assert.ok(existsSync(join(prefix, 'share/man', page)), page);
    const notices = readFileSync(join(installed, 'NOTICES.txt'), 'utf8');
    for (const { name, version } of JSON.parse(readFileSync(join(dist, names.bill), 'utf8')).components)
      if (!name.startsWith('node-linux-')) assert.ok(notices.includes(`\n${name} ${version} (`), name);
  });
}
