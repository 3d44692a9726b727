/**
 * The program in two files: all of src, whose modules are evaluated when first imported as they are in the tree, and the part of mailauth
 * that it uses. A file of its own keeps that out of the memory of those who never need it: its text alone would take 20 MB.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { type BuildOptions, build } from 'esbuild';
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
  /** The authors of another package have put it into theirs; npm's own copy, which is at `path`, is not in the bundle. */
  inlined?: true;
}>;

export type Bundle = Readonly<{ directory: string; program: string; library: string; packages: readonly Package[] }>;

const program = 'filtermail.js';
const library = 'mta-sts.cjs'; // mta-sts-library.ts finds it by this name

/** What no module path shows, because it is inside a file of another package. Both are made of one repository, under one version. */
const inlined: Readonly<Record<string, string>> = { tldts: 'tldts-core' };

export async function makeBundle(directory: string): Promise<Bundle> {
  const modules = [
    ...(await bundled('src/main.ts', join(directory, program), {
      format: 'esm',
      alias: { 'mailauth/lib/mta-sts.js': join(import.meta.dirname, 'mta-sts-library.ts') },
    })),
    ...(await bundled('mailauth/lib/mta-sts.js', join(directory, library), { format: 'cjs' })),
  ];
  return { directory, program, library, packages: packagesOf(modules) };
}

/** Writes one file; the modules of which something is in it. It is not minified: admins read stack traces. */
async function bundled(entry: string, outfile: string, options: BuildOptions): Promise<string[]> {
  const { metafile, warnings } = await build({
    ...options,
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node26',
    absWorkingDir: root,
    tsconfigRaw: '{}', // tsconfig.json is about checking
    metafile: true,
    logLevel: 'silent',
  });
  // A warning is about something that will be missing.
  for (const { text, location } of warnings) throw new Error(`${location?.file}: ${text}`);
  const inputs = Object.values(metafile.outputs).flatMap(output => Object.entries(output.inputs));
  return inputs.flatMap(([module, { bytesInOutput }]) => (bytesInOutput > 0 ? join(root, module) : []));
}

/** Sorted by name. */
function packagesOf(modules: readonly string[]): Package[] {
  const found = new Map<string, Package>();
  for (const module of modules) {
    if (!module.includes('/node_modules/')) continue;
    const described = packageOf(module);
    found.set(described.path, described);
  }
  for (const { name: outer, version } of [...found.values()]) {
    const inner = inlined[outer] && packageOf(join(root, 'node_modules', inlined[outer], 'package.json'));
    if (inner && !found.has(inner.path)) found.set(inner.path, { ...inner, version, inlined: true });
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
