// The programs that the bench runs but does not install.

import { accessSync, constants } from 'node:fs';

const packages = { 'smtp-source': 'postfix', 'smtp-sink': 'postfix', haproxy: 'haproxy' } as const;
export type ProgramName = keyof typeof packages;
export type Programs = Readonly<Record<ProgramName, string>>;

/** Their paths; when some are missing, the one line that installs them. */
export function findPrograms(): Programs | { readonly install: string } {
  const names = Object.keys(packages) as ProgramName[];
  const found = names.map(name => [name, findProgram(name)] as const);
  const missing = new Set(found.filter(([, path]) => path === undefined).map(([name]) => packages[name]));
  if (missing.size > 0) {
    const wanted = [...missing].sort().join(' ');
    return { install: `DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${wanted}` };
  }
  return Object.fromEntries(found) as Programs;
}

function findProgram(name: string): string | undefined {
  // Debian keeps all three in /usr/sbin, which a user's PATH may lack.
  const directories = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin`.split(':').filter(path => path !== '');
  return directories.map(directory => `${directory}/${name}`).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
