/**
 * The program in two files: all of src, whose modules are evaluated when first imported as they are in the tree, and the part of mailauth
 * that it uses. A file of its own keeps that out of the memory of those who never need it: its text alone would take 20 MB.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { type RolldownOutput, rolldown } from 'rolldown';
import { root } from './release.ts';

/** An npm package of which something is in the bundle. */
export type Package = Readonly<{
  /** Its directory, as package-lock.json names it. */
  path: string;
  name: string;
  version: string;
  license: string;
  /** What it needs, by name. */
  needs: readonly string[];
}>;

export type Bundle = Readonly<{ directory: string; program: string; library: string; packages: readonly Package[] }>;

const program = 'filtermail.js';
const library = 'mta-sts.cjs'; // mta-sts-library.ts finds it by this name
const common = { platform: 'node', cwd: root, tsconfig: false, onLog: refuseWarnings } as const;

export async function makeBundle(directory: string): Promise<Bundle> {
  const ours = await rolldown({
    ...common,
    input: 'src/main.ts',
    resolve: { alias: { 'mailauth/lib/mta-sts.js': join(import.meta.dirname, 'mta-sts-library.ts') } },
  });
  const theirs = await rolldown({ ...common, input: 'mailauth/lib/mta-sts.js' });
  const written = { dir: directory, codeSplitting: false } as const;
  const outputs = [
    await ours.write({ ...written, format: 'esm', entryFileNames: program }),
    await theirs.write({ ...written, format: 'cjs', entryFileNames: library }),
  ];
  return { directory, program, library, packages: packagesIn(outputs) };
}

/** A warning is about something that will be missing. */
function refuseWarnings(level: string, { message }: { message: string }): void {
  if (level === 'warn') throw new Error(message);
}

/** Sorted by name. */
function packagesIn(outputs: readonly RolldownOutput[]): Package[] {
  const found = new Map<string, Package>();
  for (const { output } of outputs) {
    for (const chunk of output) {
      if (chunk.type !== 'chunk') throw new Error(`unexpected ${chunk.fileName}`);
      for (const module of chunk.moduleIds) {
        if (!module.includes('/node_modules/')) continue;
        const described = packageOf(module);
        found.set(described.path, described);
      }
    }
  }
  return [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The nearest package.json that names a package; others only say of what format a directory is. */
function packageOf(module: string): Package {
  for (let directory = dirname(module); directory.startsWith(root); directory = dirname(directory)) {
    const manifest = join(directory, 'package.json');
    if (!existsSync(manifest)) continue;
    const { name, version, license, dependencies = {} } = JSON.parse(readFileSync(manifest, 'utf8'));
    if (version === undefined) continue;
    return { path: relative(root, directory), name, version, license, needs: Object.keys(dependencies) };
  }
  throw new Error(`${module} belongs to no package`);
}
