/** What `npm install -g` installs: JavaScript for a Node 26 that is there already, all dependencies included. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundle } from './bundle.ts';
import { noticesOf } from './notices.ts';
import { fromTree, homepage, manPages, nodeFlags, put, release, run } from './release.ts';

/** Where they are in the tree: they link to each other. */
const documents = [
  ...['README.md', 'CHANGELOG.md', 'LICENSE', 'chatmail.ini.example'],
  ...['docs/replace.md', 'docs/operate.md'],
];

/** Makes it in the directory `work`; its path. */
export async function makeNpmPackage(bundle: Bundle, work: string): Promise<string> {
  const tree = join(work, 'npm');
  const { name, version, description, license } = release;
  const program = readFileSync(join(bundle.directory, bundle.program), 'utf8');
  put(join(tree, bundle.program), `#!/usr/bin/env -S node ${nodeFlags.join(' ')}\n${program}`, 0o755);
  put(join(tree, bundle.library), readFileSync(join(bundle.directory, bundle.library)));
  put(join(tree, 'NOTICES.txt'), noticesOf(bundle.packages));
  for (const document of documents) put(join(tree, document), fromTree(document));
  for (const page of manPages) put(join(tree, page), fromTree(`docs/${page}`));
  const manifest = {
    ...{ name, version, description, license, homepage },
    type: 'module',
    engines: { node: '>=26' },
    os: ['linux'],
    bin: { filtermail: bundle.program },
    man: manPages,
    files: ['*'],
  };
  put(join(tree, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  await run('sh', ['scripts/npm.sh', 'pack', '--silent', `--pack-destination=${work}`, tree]);
  return join(work, `${name}-${version}.tgz`);
}
