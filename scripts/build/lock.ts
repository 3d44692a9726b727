/** What package-lock.json pins. */
import { fromTree } from './release.ts';

type Locked = Readonly<{ version: string; integrity: string }>;

const { packages }: { packages: Record<string, Partial<Locked>> } = JSON.parse(fromTree('package-lock.json'));

/** The package that is or would be in this directory. */
export function locked(path: string): Locked {
  const { version, integrity } = packages[path] ?? {};
  if (version === undefined || integrity?.startsWith('sha512-') !== true) {
    throw new Error(`package-lock.json lacks ${path}`);
  }
  return { version, integrity };
}
