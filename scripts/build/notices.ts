/** The licences of what is in the packages, other people's work too. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Package } from './bundle.ts';
import { fromTree, release, root } from './release.ts';

const line = `\n${'-'.repeat(80)}\n\n`;

/** Works inside packages that are under a licence of their own. */
const within: Readonly<Record<string, string>> = {
  tldts: `It contains the Public Suffix List, https://publicsuffix.org/list/public_suffix_list.dat, in another form. The list is
subject to the terms of the Mozilla Public License, v. 2.0. You can obtain one at https://mozilla.org/MPL/2.0/.`,
};

/** `node` where that is in the package. */
export function noticesOf(packages: readonly Package[], node?: Readonly<{ version: string; licence: string }>): string {
  const opening = `The licences of ${release.name} and of the work of others in it.\n`;
  const notices = packages.map(({ path, name, version, license }) => {
    const texts = licenceFiles(path).map(file => fromTree(join(path, file)).trim());
    return `${[`${name} ${version} (${license})`, within[name] ?? [], texts].flat(2).join('\n\n')}\n`;
  });
  if (node !== undefined) notices.push(`Node.js ${node.version}\n\n${node.licence}`);
  return [opening, `${release.name} ${release.version}\n\n${fromTree('LICENSE')}`, ...notices].join(line);
}

function licenceFiles(path: string): string[] {
  const files = readdirSync(join(root, path)).filter(file => /^(?:licen[cs]e|notice|copying)(?!.*\.js)/i.test(file));
  if (files.length === 0) throw new Error(`${path} has no file with its licence`);
  return files.sort();
}
