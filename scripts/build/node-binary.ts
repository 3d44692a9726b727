/** The official Node of each architecture, as package-lock.json pins it. npm has installed the one for this machine only. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { locked } from './lock.ts';
import { root, run } from './release.ts';

export const architectures = ['x64', 'arm64'] as const;
export type Architecture = (typeof architectures)[number];

export const nodePackage = (arch: Architecture) => `node-linux-${arch}`;

/** Unpacks it into `directory`. */
export async function unpackNode(arch: Architecture, directory: string): Promise<{ binary: string; licence: string }> {
  const archive = await archiveOf(arch);
  mkdirSync(directory);
  await run('tar', ['-xzf', archive, '-C', directory, '--strip-components=1', 'package/bin/node', 'package/LICENSE']);
  return { binary: join(directory, 'bin/node'), licence: readFileSync(join(directory, 'LICENSE'), 'utf8') };
}

async function archiveOf(arch: Architecture): Promise<string> {
  const { version, integrity } = locked(`node_modules/${nodePackage(arch)}`);
  const file = `${nodePackage(arch)}-${version}.tgz`;
  const cache = join(root, '.cache/node');
  const archive = join(cache, file);
  if (!existsSync(archive)) {
    mkdirSync(cache, { recursive: true });
    const fresh = mkdtempSync(join(cache, 'fetch-'));
    try {
      console.error(`filtermail: fetching ${file}`);
      const wanted = `${nodePackage(arch)}@${version}`;
      await run('sh', ['scripts/npm.sh', 'pack', '--silent', `--pack-destination=${fresh}`, wanted]);
      renameSync(join(fresh, file), archive);
    } finally {
      rmSync(fresh, { recursive: true });
    }
  }
  // What has been in the cache for long is no more to be trusted than what has just come.
  const digest = createHash('sha512').update(readFileSync(archive)).digest('base64');
  if (integrity !== `sha512-${digest}`) {
    rmSync(archive);
    throw new Error(`${file} is not what package-lock.json pins`);
  }
  return archive;
}
