// One filter that takes all the bad input of a test file and must be as good as new afterwards.

import assert from 'node:assert/strict';
import { assertLog, Binary } from './binary.ts';
import { Client, type Mail, sendOne } from './client.ts';
import { encrypted } from './mail.ts';
import { assertDelivered, NextHop } from './next-hop.ts';
import { type Keys, Site } from './site.ts';

export class Victim {
  readonly hop: NextHop;
  readonly site: Site;
  readonly filter: Binary;
  /** How many it had at the start. */
  readonly descriptors: number;
  #asked = 0;

  private constructor(hop: NextHop, site: Site, filter: Binary) {
    this.hop = hop;
    this.site = site;
    this.filter = filter;
    this.descriptors = filter.descriptors().length;
  }

  static async start(keys: Keys = {}, through: readonly string[] = []): Promise<Victim> {
    const hop = await NextHop.start();
    const site = await Site.make(hop.port, keys);
    return new Victim(hop, site, await Binary.serve(site, { through }));
  }

  hello(): Promise<Client> {
    return Client.hello(this.site.port);
  }

  /** The same process passes a good message, and that alone has arrived. */
  async passes(): Promise<void> {
    const mail = encrypted();
    assert.match(await sendOne(this.site.port, mail), /^250 /);
    assertDelivered(this.hop, mail.wire);
  }

  /** The log after what has happened so far: a position behind the last line of it. */
  async logged(): Promise<number> {
    const name = `no.address.${++this.#asked}`;
    const client = await this.hello();
    await client.ask(`MAIL FROM:<${name}>`);
    await client.quit();
    await this.filter.log.find(new RegExp(`refused sender ${name}:`));
    return this.filter.log.mark;
  }

  /** The answer to a message, within a time that only linear work meets. What was taken has arrived, octet for octet, and nothing else. */
  async answers(mail: Mail, expected: RegExp | string, withinMs = 3000): Promise<void> {
    const client = await this.hello();
    const began = performance.now();
    const reply = await client.send(mail);
    const took = performance.now() - began;
    if (typeof expected === 'string') assert.equal(reply, expected);
    else assert.match(reply, expected);
    assert.ok(took < withinMs, `${Math.round(took)} ms`);
    if (reply.startsWith('250 ')) assertDelivered(this.hop, mail.wire);
    else this.#nothingArrived();
    assert.match(await client.ask('NOOP'), /^250 /, 'the connection lives on');
    await client.quit();
  }

  /** It is the process it was: it passes mail, holds no more descriptors than at the start and not much memory, and its log is one. */
  async unharmed(mebibytes = 200): Promise<void> {
    await this.passes();
    // Else the filter would keep its connection for the next message.
    for (const socket of this.hop.sockets) socket.destroy();
    await this.filter.descriptorsBackTo(this.descriptors);
    const memory = this.filter.memory('VmRSS');
    assert.ok(memory < mebibytes, `${Math.round(memory)} MiB`);
    assert.deepEqual(this.filter.spoolFiles(this.site), []);
    assertLog(this.filter.log.all);
    assert.equal(this.filter.log.all.filter(line => line.startsWith('ERROR ')).length, 0);
    await this.filter.stop();
  }

  #nothingArrived(): void {
    assert.deepEqual(this.hop.take(), []);
  }
}
