// A private instance of the installed nginx before the filter's HTTP port: its own configuration, temporary files and certificate
// under a temporary directory, loopback ports. The system's instance is not touched.

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freePorts } from '../peers/ports.ts';
import { undoAtExit } from './leftovers.ts';
import { Lines } from './lines.ts';

const program = '/usr/sbin/nginx';

/** How a location passes requests on; what is left out is as on chatmail relays. */
export type Variant = Readonly<{
  /** `proxy_request_buffering`: the whole body first, then the request. */
  buffers?: boolean;
  /** `keepalive` of the upstream. */
  keepsConnections?: boolean;
  /** `client_max_body_size`. */
  limit?: string;
  /** `proxy_http_version`; 1.0 is nginx's own default. */
  version?: '1.0' | '1.1';
}>;

/** Why there can be no nginx here; undefined when there can. */
export function whyNoNginx(): string | undefined {
  try {
    accessSync(program, constants.X_OK);
  } catch {
    return 'nginx is not installed (as root: sh scripts/debian.sh nginx-light)';
  }
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
  } catch {
    return 'openssl is not installed (as root: sh scripts/debian.sh openssl)';
  }
  return undefined;
}

export class Nginx {
  /** Of its certificate, which is its own authority. */
  readonly certificate: string;
  readonly log: Lines;
  readonly #directory: string;
  readonly #ports: Readonly<Record<string, number>>;
  readonly #process: ChildProcess;
  readonly #closed: Promise<unknown>;
  readonly #forget: () => void;

  private constructor(directory: string, ports: Readonly<Record<string, number>>) {
    this.#directory = directory;
    this.#ports = ports;
    this.certificate = readFileSync(join(directory, 'certificate.pem'), 'latin1');
    const options = ['-p', directory, '-c', join(directory, 'nginx.conf'), '-e', 'stderr'];
    // A session, thus a process group, of its own: its workers can be signalled with it.
    this.#process = spawn(program, options, { stdio: ['ignore', 'inherit', 'pipe'], detached: true });
    assert.ok(this.#process.stderr);
    this.log = Lines.of(this.#process.stderr);
    this.#closed = once(this.#process, 'close');
    this.#forget = undoAtExit(() => {
      this.#kill();
      this.#remove();
    });
  }

  /** Before the filter's port. Once this has returned, its ports are bound. */
  static async start(filterPort: number, variants: Readonly<Record<string, Variant>>): Promise<Nginx> {
    const directory = mkdtempSync(join(tmpdir(), 'filtermail-nginx-'));
    mkdirSync(join(directory, 'temporary'));
    makeCertificate(directory);
    const ports = await freePorts(...Object.keys(variants).flatMap(name => [name, `${name} TLS`]));
    writeFileSync(join(directory, 'nginx.conf'), configuration(directory, filterPort, variants, ports));
    const nginx = new Nginx(directory, ports);
    const early = nginx.#closed.then(() => {
      throw new Error(`nginx ended at once:\n${nginx.log.all.join('\n')}`);
    });
    await Promise.race([nginx.log.find(/start worker process \d+/), early]);
    early.catch(() => undefined); // from here on `stop` tells
    return nginx;
  }

  /** Where a variant listens for HTTP/1.1 without TLS. */
  port(variant: string): number {
    return this.#ports[variant] ?? assert.fail(variant);
  }

  /** Where it listens for HTTP/1.1 and HTTP/2 over TLS. */
  tlsPort(variant: string): number {
    return this.port(`${variant} TLS`);
  }

  /** Stops it and removes all it left. */
  async stop(): Promise<void> {
    this.#process.kill('SIGTERM');
    await this.#closed;
    this.#remove();
    this.#forget();
  }

  #kill(): void {
    const { pid } = this.#process;
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // It is gone already.
    }
  }

  #remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function makeCertificate(directory: string): void {
  const files = ['-keyout', join(directory, 'key.pem'), '-out', join(directory, 'certificate.pem')];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const subject = ['-subj', '/CN=one.test', '-addext', 'subjectAltName=DNS:one.test', '-days', '2'];
  execFileSync('openssl', ['req', '-x509', ...key, ...files, ...subject], { stdio: 'pipe' });
}

function configuration(
  directory: string,
  filterPort: number,
  variants: Readonly<Record<string, Variant>>,
  ports: Readonly<Record<string, number>>,
): string {
  const servers = Object.entries(variants).map(([name, variant], index) => {
    const { buffers = true, keepsConnections = false, limit = '1m', version = '1.1' } = variant;
    const upstream = `filter${index}`;
    return `
      upstream ${upstream} { server 127.0.0.1:${filterPort}; keepalive 8; }
      server {
        listen 127.0.0.1:${ports[name]};
        listen 127.0.0.1:${ports[`${name} TLS`]} ssl http2;
        location /mxdeliv {
          proxy_pass http://${keepsConnections ? upstream : `127.0.0.1:${filterPort}`};
          proxy_http_version ${version};
          ${keepsConnections ? 'proxy_set_header Connection "";' : ''}
          proxy_request_buffering ${buffers ? 'on' : 'off'};
          client_max_body_size ${limit};
        }
      }`;
  });
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    kind => `${kind}_temp_path ${join(directory, 'temporary', kind)};`,
  );
  return `
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    daemon off;
    worker_processes 1;
    error_log stderr notice;
    pid ${join(directory, 'pid')};
    events { worker_connections 512; }
    http {
      access_log off;
      ${temporary.join('\n      ')}
      ssl_certificate ${join(directory, 'certificate.pem')};
      ssl_certificate_key ${join(directory, 'key.pem')};
      ${servers.join('\n')}
    }\n`;
}

/** Tests with nginx. Where there is none they are skipped with the reason; in CI, which has to show them, that is a failure. */
export function describeNginx(name: string, start: () => Promise<Nginx>, tests: (nginx: () => Nginx) => void): void {
  const reason = whyNoNginx();
  if (reason && process.env.CI === 'true') {
    test(name, () => assert.fail(`tests with nginx left out: ${reason}`));
    return;
  }
  describe(name, { skip: reason ? `tests with nginx left out: ${reason}` : false }, () => {
    let nginx: Nginx | undefined;
    before(async () => {
      nginx = await start();
    });
    after(() => nginx?.stop());
    tests(() => nginx ?? assert.fail('nginx did not start'));
  });
}
