/** The official Node of each architecture, as package-lock.json pins it. npm has installed the one for this machine only. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { locked } from './lock.ts';
import { root, run } from './release.ts';

export const architectures = ['x64', 'arm64'] as const;
export type Architecture = (typeof architectures)[number];

export const nodePackage = (arch: Architecture) => `node-linux-${arch}`;

type Node = Readonly<{ version: string; binary: string; licence: string }>;

/** Unpacks it into `directory`. */
export async function unpackNode(arch: Architecture, directory: string): Promise<Node> {
  const { version, integrity } = locked(`node_modules/${nodePackage(arch)}`);
  const archive = await archiveOf(arch, version, integrity);
  mkdirSync(directory);
  await run('tar', ['-xzf', archive, '-C', directory, '--strip-components=1', 'package/bin/node', 'package/LICENSE']);
  return { version, binary: join(directory, 'bin/node'), licence: readFileSync(join(directory, 'LICENSE'), 'utf8') };
}

async function archiveOf(arch: Architecture, version: string, integrity: string): Promise<string> {
  const file = `${nodePackage(arch)}-${version}.tgz`;
  const cache = join(root, '.cache/node');
  const archive = join(cache, file);
  const fresh = join(cache, `fetch-${arch}`);
  rmSync(fresh, { recursive: true, force: true }); // of a build that was killed
  if (!existsSync(archive)) {
    console.error(`filtermail: fetching ${file}`);
    mkdirSync(fresh, { recursive: true });
    try {
      await fetchInto(fresh, `${nodePackage(arch)}@${version}`);
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

/** npm's own patience without a network is minutes. A line that is slow has as long as it takes. */
const patience = ['--fetch-timeout=20000', '--fetch-retries=1', '--fetch-retry-mintimeout=1000'];
const pack = ['scripts/npm.sh', 'pack', '--loglevel=error', ...patience];

async function fetchInto(directory: string, wanted: string): Promise<void> {
  try {
    await run('sh', [...pack, `--pack-destination=${directory}`, wanted]);
  } catch (cause) {
    const once = `npm pack --pack-destination=.cache/node ${wanted}`;
    throw new Error(`cannot fetch ${wanted}; once, where the registry can be reached, run: ${once}`, { cause });
  }
}
