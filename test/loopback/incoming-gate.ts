// An incoming filter with a next hop, a name server and a domain that signs; and a play of one mail over both entrances.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DnsServer } from '../peers/dns-server.ts';
import { Binary, type Launch } from './binary.ts';
import type { Mail } from './client.ts';
import { agent, answerTo, type Entrance, entrances, post } from './entrances.ts';
import { type Author, publish } from './incoming-mail.ts';
import { assertDelivered, NextHop } from './next-hop.ts';
import { type Keys, Site } from './site.ts';
import { undoAtEnd } from './tidy.ts';

export const passed = '250 2.0.0 Ok: queued as 42';
export const nothingLeft = '250 2.0.0 Ok';
export const needsEncryption = '523 Encryption Needed: Invalid Unencrypted Mail';
export const invalidFrom = '500 5.6.0 Invalid FROM header';
export const noSignature = '554 5.7.1 No DKIM signature found';
export const noValidSignature = '554 5.7.1 No valid DKIM signature found';
export const tryLater = /^451 4\.7\.5 [\x20-\x7e]+$/;

export const encryptedLine = 'INFO Incoming: Filtering encrypted mail.';
export const unencryptedLine = 'INFO Incoming: Filtering unencrypted mail.';
export const reportLine = (address: string) => `INFO Incoming: Filtering mailer-daemon message from <${address}>`;

export type Expected = Readonly<{
  reply: string | RegExp;
  /** All lines of the log. */
  log: readonly (string | RegExp)[];
  /** What the next hop gets in MAIL and RCPT; nothing may arrive where it is missing. */
  envelope?: readonly string[];
}>;

export class Gate {
  readonly hop: NextHop;
  readonly dns: DnsServer;
  readonly site: Site;
  readonly filter: Binary;

  private constructor(hop: NextHop, dns: DnsServer, site: Site, filter: Binary) {
    this.hop = hop;
    this.dns = dns;
    this.site = site;
    this.filter = filter;
  }

  /** Opened for a test file, whose end closes it; the authors' keys are published. */
  static async open(authors: readonly Author[], keys: Keys = {}, launch: Omit<Launch, 'args'> = {}): Promise<Gate> {
    const hop = await NextHop.start();
    const dns = await DnsServer.listen();
    for (const author of authors) publish(dns, author);
    const site = await Site.make(hop.port, { filtermail_dns_servers: dns.address, ...keys });
    undoAtEnd(() => void dns[Symbol.asyncDispose]());
    return new Gate(hop, dns, site, await Binary.serve(site, launch, 'incoming'));
  }

  /** It is as good as new: no descriptor more than `before`, no error in the log; and it ends well. */
  async unharmed(before: number): Promise<void> {
    for (const socket of this.hop.sockets) socket.destroy();
    agent.destroy();
    await this.filter.descriptorsBackTo(before);
    assert.deepEqual(this.filter.spoolFiles(this.site), []);
    await this.stop();
  }

  async stop(): Promise<void> {
    await this.filter.stop();
    assert.deepEqual(
      this.filter.log.all.filter(line => line.startsWith('ERROR ')),
      [],
    );
  }

  /** What a mail gets, and all that the log then says. */
  async sent(entrance: Entrance, mail: Mail): Promise<{ reply: string; log: string[] }> {
    const mark = this.filter.log.mark;
    const reply = await entrance.send(this.site, mail);
    return { reply, log: await this.logged(mark) };
  }

  /** The log since `mark` of all that has happened so far. */
  async logged(mark: number): Promise<string[]> {
    const { log } = this.filter;
    const own = /^WARN Incoming: refused an HTTP delivery: 501 5\.5\.4 /;
    const { length } = log.all.filter(line => own.test(line));
    await answerTo(post(this.site, { from: '', to: [], wire: Buffer.from('.\r\n') }));
    const end = await log.until(() => {
      const at = log.all.findLastIndex(line => own.test(line));
      return log.all.filter(line => own.test(line)).length > length ? at : undefined;
    }, 'no line of the request without recipient');
    return log.all.slice(mark, end);
  }

  async expects(entrance: Entrance, mail: Mail, { reply, log, envelope }: Expected): Promise<void> {
    this.hop.take();
    const result = await this.sent(entrance, mail);
    matches(result.reply, reply);
    assert.equal(result.log.length, log.length, result.log.join('\n'));
    for (const [at, line] of log.entries()) matches(result.log[at] ?? '', line);
    if (envelope === undefined) assert.deepEqual(this.hop.take(), []);
    else assert.deepEqual(assertDelivered(this.hop, mail.wire).commands.slice(0, -1), envelope);
  }
}

function matches(text: string, expected: string | RegExp): void {
  if (typeof expected === 'string') assert.equal(text, expected);
  else assert.match(text, expected);
}

/** The mail over both entrances, a test each. */
export function play(gate: () => Gate, name: string, mail: () => Mail | Promise<Mail>, expected: Expected): void {
  for (const entrance of entrances) {
    test(`${name}, over ${entrance.name}`, async () => gate().expects(entrance, await mail(), expected));
  }
}
