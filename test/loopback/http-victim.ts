// An incoming filter that takes HTTP requests of all kinds and must be as good as new afterwards.

import assert from 'node:assert/strict';
import { assertLog, Binary, type Launch } from './binary.ts';
import { askOnce, counted, HttpClient, short } from './http-client.ts';
import { NextHop, sha256 } from './next-hop.ts';
import { type Keys, Site } from './site.ts';

export const taken = [200, '250 2.0.0 Ok: queued as 42'] as const;

export class HttpVictim {
  readonly hop: NextHop;
  readonly site: Site;
  readonly filter: Binary;
  /** How many it had at the start. */
  readonly descriptors: number;
  readonly #clients = new Set<HttpClient>();

  constructor(hop: NextHop, site: Site, filter: Binary) {
    this.hop = hop;
    this.site = site;
    this.filter = filter;
    this.descriptors = filter.descriptors().length;
  }

  static async start(keys: Keys = {}, launch: Omit<Launch, 'args'> = {}): Promise<HttpVictim> {
    const hop = await NextHop.start();
    const site = await Site.make(hop.port, keys);
    return new HttpVictim(hop, site, await Binary.serve(site, launch, 'incoming'));
  }

  async connect(): Promise<HttpClient> {
    const client = await HttpClient.connect(this.site.httpPort);
    this.#clients.add(client);
    return client;
  }

  ask(request: Buffer | string): Promise<[status: number, body: string] | null> {
    return askOnce(this.site.httpPort, request);
  }

  /** What has arrived since the last look are these bodies, octet for octet and in any order. */
  arrived(...bodies: readonly Buffer[]): void {
    const seen = this.hop.take().map(({ sha256 }) => sha256);
    assert.deepEqual(seen.sort(), bodies.map(sha256).sort(), `${seen.length} arrived, ${bodies.length} expected`);
  }

  /** The same process passes a good message, and that alone has arrived. */
  async passes(): Promise<void> {
    const body = short('one more');
    assert.deepEqual(await this.ask(counted(body)), taken);
    this.arrived(body);
  }

  /** It is the process it was: it passes mail, holds no more descriptors than at the start and not much memory, and its log is one. */
  async unharmed(mebibytes = 200): Promise<void> {
    await this.passes();
    // Those of a test that failed.
    for (const client of this.#clients) client.reset();
    // Else the filter would keep its connection for the next message.
    for (const socket of this.hop.sockets) socket.destroy();
    await this.filter.descriptorsBackTo(this.descriptors);
    const memory = this.filter.memory('VmRSS');
    assert.ok(memory < mebibytes, `${Math.round(memory)} MiB`);
    assert.deepEqual(this.filter.spoolFiles(this.site), []);
    assertLog(this.filter.log.all);
    assert.deepEqual(
      this.filter.log.all.filter(line => line.startsWith('ERROR ')),
      [],
    );
    const began = performance.now();
    await this.filter.stop();
    assert.ok(performance.now() - began < 3000, 'with nothing under way it ends at once');
  }
}
