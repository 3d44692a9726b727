/** In a bundle this stands for `mailauth/lib/mta-sts.js`, which is a file beside it, or inside the single file. */
import { createRequire } from 'node:module';
import { getAsset, isSea } from 'node:sea';
import { compileFunction } from 'node:vm';

const file = 'mta-sts.cjs';
const require = createRequire(import.meta.url);

export const { resolvePolicy, fetchPolicy, validateMx } = isSea() ? inside() : require(`./${file}`);

function inside() {
  const module = { exports: {} };
  const evaluate = compileFunction(getAsset(file, 'utf8'), ['module', 'exports', 'require'], { filename: file });
  evaluate(module, module.exports, require);
  return module.exports as typeof import('mailauth/lib/mta-sts.js');
}
