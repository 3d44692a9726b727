/** The licences of what is in the packages, other people's work too. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Package } from './bundle.ts';
import { fromTree, release, root } from './release.ts';

const line = `\n${'-'.repeat(80)}\n\n`;

/** `node` is Node's licence, where that is in the package. */
export function noticesOf(packages: readonly Package[], node?: string): string {
  const opening = `The licences of ${release.name} and of the work of others in it.\n`;
  const notices = packages.map(({ path, name, version, license }) => {
    const texts = licenceFiles(path).map(file => fromTree(join(path, file)).trim());
    return `${name} ${version} (${license})\n\n${texts.join('\n\n')}\n`;
  });
  if (node !== undefined) notices.push(`Node.js ${process.versions.node}\n\n${node}`);
  return [opening, `${release.name} ${release.version}\n\n${fromTree('LICENSE')}`, ...notices].join(line);
}

function licenceFiles(path: string): string[] {
  const files = readdirSync(join(root, path)).filter(file => /^(?:licen[cs]e|notice|copying)(?!.*\.js)/i.test(file));
  if (files.length === 0) throw new Error(`${path} has no file with its licence`);
  return files.sort();
}
