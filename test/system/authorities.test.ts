// Each case is a process of its own, because Node reads the environment once.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { createServer, rootCertificates, type Server } from 'node:tls';

const names = ['file', 'directory', 'extra'] as const;
const folder = mkdtempSync(join(tmpdir(), 'authorities-'));
const inFolder = (...path: string[]) => join(folder, ...path);
const servers: Server[] = [];
/** By name. */
const ports: Record<string, number> = {};

/** Says whom it trusts, of servers at ports: by the shared context, and by what other TLS of the process has. */
const child = inFolder('child.mjs');
writeFileSync(
  child,
  `import { connect } from 'node:tls';
   import { trustAuthorities } from ${JSON.stringify(new URL('../../src/system/authorities.ts', import.meta.url).href)};
   const ports = JSON.parse(process.argv[2]);
   const { source, count, context } = trustAuthorities();
   const isTrusted = (port, options) => new Promise(resolve => {
     const socket = connect({ host: '127.0.0.1', port, servername: 'mx.test', ...options });
     socket.on('error', () => resolve(false)).on('secureConnect', () => {
       resolve(socket.authorized);
       socket.destroy();
     });
   });
   const trusted = [];
   for (const [name, port] of Object.entries(ports)) {
     const answers = [await isTrusted(port, { secureContext: context }), await isTrusted(port, {})];
     if (answers[0] !== answers[1]) throw new Error('two opinions about ' + name);
     if (answers[0]) trusted.push(name);
   }
   console.log(JSON.stringify({ source, count, trusted }));`,
);

type Outcome = { source: string; count: number; trusted: string[] };

async function authoritiesWith(env: Record<string, string>): Promise<{ outcome: Outcome; stderr: string }> {
  const started = spawn(process.execPath, [child, JSON.stringify(ports)], { env, timeout: 10_000 });
  const [stdout, stderr] = await Promise.all([text(started.stdout), text(started.stderr)]);
  assert.notEqual(stdout, '', stderr);
  return { outcome: JSON.parse(stdout), stderr };
}

function openssl(...args: string[]): void {
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  execFileSync('openssl', ['req', '-x509', ...newKey, '-days', '2', ...args], { stdio: 'pipe' });
}

before(async () => {
  mkdirSync(inFolder('authority'));
  mkdirSync(inFolder('empty'));
  for (const name of names) {
    const authority = name === 'directory' ? inFolder('authority', 'any-name') : inFolder(`${name}.pem`);
    openssl('-keyout', inFolder('ca.key'), '-out', authority, '-subj', `/CN=Authority of ${name}`);
    const signed = ['-CA', authority, '-CAkey', inFolder('ca.key'), '-addext', 'basicConstraints=critical,CA:false'];
    const subject = ['-subj', '/CN=mx.test', '-addext', 'subjectAltName=DNS:mx.test'];
    openssl('-keyout', inFolder('key'), '-out', inFolder('certificate'), ...signed, ...subject);
    const server = createServer({ key: readFileSync(inFolder('key')), cert: readFileSync(inFolder('certificate')) });
    server.on('tlsClientError', () => null).listen(0, '127.0.0.1');
    await once(server, 'listening');
    servers.push(server);
    ports[name] = (server.address() as AddressInfo).port;
  }
});

after(() => {
  for (const server of servers) server.close();
  rmSync(folder, { recursive: true });
});

const SSL_CERT_FILE = inFolder('file.pem');
const SSL_CERT_DIR = inFolder('authority');
const NODE_EXTRA_CA_CERTS = inFolder('extra.pem');
const none = { SSL_CERT_DIR: inFolder('empty') };
const bundled = rootCertificates.length;

describe('trusted are the authorities', { concurrency: 4 }, () => {
  for (const [what, env, source, count, trusted] of [
    ['of a directory, in files of any name', { SSL_CERT_DIR }, 'system', 1, ['directory']],
    ['of a file', { ...none, SSL_CERT_FILE }, 'system', 1, ['file']],
    ['of both', { SSL_CERT_FILE, SSL_CERT_DIR }, 'system', 2, ['file', 'directory']],
    ['of all three', { SSL_CERT_FILE, SSL_CERT_DIR, NODE_EXTRA_CA_CERTS }, 'system', 3, names],
    ['of the directory and extra ones', { SSL_CERT_DIR, NODE_EXTRA_CA_CERTS }, 'system', 2, ['directory', 'extra']],
    ['of Node where the system has none', none, 'node', bundled, []],
    ['of Node and extra ones', { ...none, NODE_EXTRA_CA_CERTS }, 'node', bundled + 1, ['extra']],
    [
      'once, where all name the same',
      { ...none, SSL_CERT_FILE, NODE_EXTRA_CA_CERTS: SSL_CERT_FILE },
      'system',
      1,
      ['file'],
    ],
  ] as const) {
    test(what, async () => {
      const { outcome, stderr } = await authoritiesWith(env);
      assert.deepEqual(outcome, { source, count, trusted: [...trusted] });
      assert.equal(stderr, '');
    });
  }

  test('of the files that can be read', async () => {
    const missing = inFolder('missing');
    for (const [env, source, trusted] of [
      [{ SSL_CERT_DIR: missing }, 'node', []],
      [{ SSL_CERT_DIR: missing, SSL_CERT_FILE }, 'system', ['file']],
      [{ SSL_CERT_DIR, SSL_CERT_FILE: missing }, 'system', ['directory']],
      [{ SSL_CERT_DIR, NODE_EXTRA_CA_CERTS: missing }, 'system', ['directory']],
    ] as const) {
      const { outcome } = await authoritiesWith(env);
      assert.deepEqual([outcome.source, outcome.trusted], [source, [...trusted]]);
    }
  });

  const debian = '/etc/ssl/certs/ca-certificates.crt';
  test('of the system, a file or extra ones beside them', { skip: !existsSync(debian) && `no ${debian}` }, async () => {
    const installed = readFileSync(debian, 'latin1').match(/^-----BEGIN CERTIFICATE-----/gm)?.length ?? 0;
    assert.ok(installed > 50);
    // The directory may hold others too, such as that of ssl-cert.
    const { outcome } = await authoritiesWith({});
    assert.equal(outcome.source, 'system');
    assert.ok(outcome.count >= installed && outcome.count < installed + 50, `${outcome.count} of ${installed}`);
    assert.deepEqual(outcome.trusted, []);
    const withMore = await authoritiesWith({ SSL_CERT_FILE, NODE_EXTRA_CA_CERTS });
    assert.deepEqual(withMore.outcome, { source: 'system', count: outcome.count + 2, trusted: ['file', 'extra'] });
  });
});
