// The incoming side of a relay, and two.test, from where mail comes to it: the key is in the DNS server that the filter asks.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before } from 'node:test';
import { DnsServer } from '../peers/dns-server.ts';
import { Signer } from '../peers/signer.ts';
import { type Header, readable, type Sealed, sealed } from './mail.ts';
import { type Choices, describeRelay, type Relay } from './relay.ts';

export const author = 'mallory@two.test';
export const signer = new Signer('two.test', 'mail');

const real = new URL('../messages/deltachat/', import.meta.url);
/** Of the relays that exchanged those messages. */
const realKeys: Record<string, string[]> = JSON.parse(readFileSync(new URL('dns.json', real), 'utf8'));

/** Accepts only encrypted mail, and accepts all. */
export const vic = 'vic@one.test';
export const free = 'free@one.test';

export function describeIncoming(
  name: string,
  choices: Choices,
  tests: (relay: () => Relay, dns: () => DnsServer) => void,
): void {
  let dns: DnsServer | undefined;
  const begin = async (): Promise<Choices> => {
    dns = await DnsServer.listen();
    dns.txt(signer.name, [signer.record]);
    for (const [name, strings] of Object.entries(realKeys)) dns.txt(name, [strings]);
    const settings = { filtermail_dns_servers: dns.address, ...choices.settings };
    return { ...choices, direction: 'incoming', settings };
  };
  describeRelay(name, begin, relay => {
    after(() => dns?.[Symbol.asyncDispose]());
    before(() => relay().enforceEncryption(vic));
    tests(relay, () => dns ?? assert.fail('the DNS server did not start'));
  });
}

/** What a relay took in from Delta Chat by way of another relay, without the Received field of its own. */
export function received(name: string): Buffer {
  const message = readFileSync(new URL(`${name}.eml`, real));
  return message.subarray(message.indexOf('DKIM-Signature:'));
}

/** An encrypted message, signed. */
export function signedSealed(options: Partial<Sealed> = {}): Promise<Buffer> {
  return signer.sign(sealed({ from: author, ...options }));
}

/** A message anyone can read, signed. */
export function signedReadable(options: Partial<Header> = {}, body = 'hello\r\n'): Promise<Buffer> {
  return signer.sign(readable({ from: author, ...options }, body));
}
