/**
 * Loaded before every test file. Properties run with one seed, so that a green tree stays green; `FUZZ_SEED=random` or a number looks
 * elsewhere.
 */
import fc from 'fast-check';

const wish = process.env.FUZZ_SEED ?? '1';
const seed = wish === 'random' ? Date.now() % 2 ** 31 : Number(wish);
fc.configureGlobal({ seed });
