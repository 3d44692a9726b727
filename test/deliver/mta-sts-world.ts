import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { createSecureContext, type SecureContext, type TlsOptions } from 'node:tls';
import { MtaSts, type PolicySource } from '../../src/deliver/mta-sts.ts';
import { publishedPolicies } from '../../src/deliver/mta-sts-source.ts';
import { txtLookup } from '../../src/system/dns.ts';
import { mailDns } from '../../src/system/dns-cache.ts';
import { DnsServer } from '../peers/dns-server.ts';

export type Respond = (request: IncomingMessage, response: ServerResponse) => void;

/** Labels of domains. */
export const badCertificates = ['wrong-name', 'common-name', 'self-signed'];

/** In the folder: an authority, certificates from it and others, an empty folder. `labels`: of domains whose certificate is good. */
export function makeCertificates(folder: string, labels: readonly string[]): void {
  const inFolder = (name: string) => join(folder, name);
  mkdirSync(inFolder('empty'));
  const openssl = (...args: string[]) =>
    execFileSync('openssl', ['req', '-x509', '-days', '2', ...args], { stdio: 'pipe' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(...newKey, '-keyout', inFolder('ca.key'), '-out', inFolder('ca.pem'), '-subj', '/CN=Authority');
  openssl(...newKey, '-keyout', inFolder('key'), '-out', inFolder('self-signed'), ...named('self-signed'));
  const signed = ['-CA', inFolder('ca.pem'), '-CAkey', inFolder('ca.key'), '-key', inFolder('key')];
  const leaf = [...signed, '-addext', 'basicConstraints=critical,CA:false'];
  openssl(...leaf, '-out', inFolder('wrong-name'), ...named('other'));
  openssl(...leaf, '-out', inFolder('common-name'), '-subj', '/CN=mta-sts.common-name.test');
  openssl(...leaf, '-out', inFolder('good'), ...named(...labels));
}

function named(...labels: string[]): string[] {
  const names = labels.map(label => `DNS:mta-sts.${label}.test`);
  return ['-subj', '/CN=policies', '-addext', `subjectAltName=${names.join()}`];
}

/** A name server, the HTTPS server of all policy hosts, and MTA-STS as transport uses it. */
export class World implements AsyncDisposable {
  now = 0;
  readonly reports: string[] = [];
  readonly sockets = new Set<Socket>();
  readonly dns: DnsServer;
  readonly source: PolicySource;
  readonly sts: MtaSts;
  readonly #servers: Server[] = [];
  readonly #responders = new Map<string, Respond>();

  private constructor(dns: DnsServer) {
    this.dns = dns;
    const servers = [{ address: '127.0.0.1', port: dns.port }];
    const clock = () => this.now;
    this.source = publishedPolicies({ ...mailDns(servers, clock), txt: txtLookup(servers) });
    this.sts = new MtaSts({ source: this.source, clock, report: trouble => this.reports.push(trouble) });
  }

  /** With the certificates in `folder`. */
  static async start(folder: string): Promise<World> {
    const world = new World(await DnsServer.listen());
    const key = readFileSync(join(folder, 'key'));
    const context = (name: string) => createSecureContext({ key, cert: readFileSync(join(folder, name)) });
    const bad = new Map<string, SecureContext>(badCertificates.map(label => [`mta-sts.${label}.test`, context(label)]));
    const good = context('good');
    const SNICallback: NonNullable<TlsOptions['SNICallback']> = (name, use) => use(null, bad.get(name) ?? good);
    for (const host of ['127.0.0.1', '::1']) {
      const server = createServer({ SNICallback }, (request, response) => {
        assert.equal(`${request.method} ${request.url}`, 'GET /.well-known/mta-sts.txt');
        world.#responders.get(request.headers.host ?? '')?.(request, response);
      });
      server.on('tlsClientError', () => null).on('clientError', () => null);
      server.on('connection', socket => {
        world.sockets.add(socket);
        socket.on('close', () => world.sockets.delete(socket));
      });
      server.listen(443, host);
      await once(server, 'listening');
      world.#servers.push(server);
    }
    return world;
  }

  /** The policy without its TXT record. */
  serve(label: string, respond: Respond): void {
    this.dns.a(`mta-sts.${label}.test`, ['127.0.0.1']);
    this.#responders.set(`mta-sts.${label}.test`, respond);
  }

  /** In DNS, and at the HTTPS server. */
  publish(label: string, id: string, respond: Respond): void {
    this.dns.txt(`_mta-sts.${label}.test`, [`v=STSv1; id=${id};`]);
    this.serve(label, respond);
  }

  /** What the policy leaves, and in how many milliseconds. */
  async left(label: string, ...hosts: string[]) {
    const began = performance.now();
    const allowed = await this.sts.allowed(`${label}.test`, hosts, new AbortController().signal);
    return { left: 'hosts' in allowed ? allowed.hosts : [], took: performance.now() - began };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    for (const server of this.#servers) server.close();
    await this.dns[Symbol.asyncDispose]();
  }
}
