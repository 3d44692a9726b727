/** Signs messages as a relay does, with mailauth: one selector of one domain, rsa-sha256 (2048 bits) or ed25519-sha256. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { dkimSign } from 'mailauth/lib/dkim/sign.js';

export type SignerOptions = Readonly<{ algorithm?: 'rsa-sha256' | 'ed25519-sha256'; canonicalization?: string }>;

export class Signer {
  readonly domain: string;
  readonly selector: string;
  readonly #options: SignerOptions;
  readonly #privateKey: KeyObject;
  readonly #publicKey: KeyObject;

  constructor(domain: string, selector = 'opendkim', options: SignerOptions = {}) {
    this.domain = domain;
    this.selector = selector;
    this.#options = options;
    const pair =
      options.algorithm === 'ed25519-sha256'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('rsa', { modulusLength: 2048 });
    this.#privateKey = pair.privateKey;
    this.#publicKey = pair.publicKey;
  }

  /** Where the key is published. */
  get name(): string {
    return `${this.selector}._domainkey.${this.domain}`;
  }

  /** What is published there. */
  get record(): string {
    const der = this.#publicKey.export({ format: 'der', type: 'spki' });
    const isEdwards = this.#options.algorithm === 'ed25519-sha256';
    return `v=DKIM1; k=${isEdwards ? 'ed25519' : 'rsa'}; p=${(isEdwards ? der.subarray(-32) : der).toString('base64')}`;
  }

  /** The message, dots as they are, with a DKIM-Signature on top. */
  async sign(message: Buffer): Promise<Buffer> {
    const { algorithm = 'rsa-sha256', canonicalization = 'relaxed/relaxed' } = this.#options;
    const key = {
      signingDomain: this.domain,
      selector: this.selector,
      privateKey: this.#privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
      algorithm,
    };
    const { signatures, errors } = await dkimSign(message, { ...key, canonicalization, signatureData: [key] });
    if (errors.length > 0) throw errors[0]?.err ?? new Error('not signed');
    return Buffer.concat([Buffer.from(signatures), message]);
  }
}
