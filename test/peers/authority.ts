/** A certificate authority of its own and certificates for servers of tests, made with openssl in a temporary directory. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** In PEM, and as files. */
export type Certificate = Readonly<{ key: string; cert: string; keyPath: string; certPath: string }>;

const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

export class Authority implements Disposable {
  readonly directory: string;
  /** What clients trust: `NODE_EXTRA_CA_CERTS`, `SSL_CERT_FILE`. */
  readonly path: string;
  readonly #key: string;
  #count = 0;

  /** Its files are in a directory of their own, in that one. */
  constructor(name = 'filtermail test authority', within = tmpdir()) {
    this.directory = mkdtempSync(join(within, 'filtermail-authority-'));
    left.add(this.directory);
    this.path = join(this.directory, 'ca.pem');
    this.#key = join(this.directory, 'ca.key');
    try {
      openssl('req', '-x509', ...curve, '-keyout', this.#key, '-out', this.path, '-days', '2', '-subj', `/CN=${name}`);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** A certificate for these DNS names and IP addresses, valid for so many days from now; negative: it has expired. */
  issue(names: readonly string[], days = 2): Certificate {
    const base = join(this.directory, `server${++this.#count}`);
    const [keyPath, requestPath, certPath, extensions] = ['key', 'csr', 'pem', 'ext'].map(end => `${base}.${end}`) as [
      string,
      string,
      string,
      string,
    ];
    openssl('req', '-new', ...curve, '-keyout', keyPath, '-out', requestPath, '-subj', '/CN=server');
    const alternatives = names.map(name => (/^[\d.]+$|:/.test(name) ? `IP:${name}` : `DNS:${name}`));
    writeFileSync(extensions, `subjectAltName=${alternatives.join(',')}\n`);
    const signing = ['-CA', this.path, '-CAkey', this.#key, '-CAcreateserial', '-extfile', extensions];
    openssl('x509', '-req', '-in', requestPath, ...signing, '-out', certPath, '-days', String(days));
    return { key: readFileSync(keyPath, 'latin1'), cert: readFileSync(certPath, 'latin1'), keyPath, certPath };
  }

  [Symbol.dispose](): void {
    remove(this.directory);
    left.delete(this.directory);
  }
}

/** What nobody has disposed of. */
const left = new Set<string>();
process.on('exit', () => left.forEach(remove));

function remove(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
}

function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
