// DKIM verification alone, from the octets to the verdict, with the key at hand: ours and mailauth's in turn. No network, no process.

import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { digestsFor, dkimCandidates } from '../../src/check/dkim/candidates.ts';
import { type DkimKey, readKeyRecords } from '../../src/check/dkim/key-record.ts';
import { checkClaims, checkSignature } from '../../src/check/dkim/verify.ts';
import { BodyDigester } from '../../src/message/body-digest.ts';
import { HeaderReader } from '../../src/message/header.ts';
import { Signer } from '../peers/signer.ts';
import { median } from './figures.ts';
import { mailDomain, signedMessage } from './messages.ts';
import { markdown, number } from './table.ts';

interface Size {
  readonly title: string;
  readonly octets: number;
  /** Verifications in one measurement. */
  readonly count: number;
  readonly limit: number;
}

const sizes: readonly Size[] = [
  { title: '10 kB', octets: 10_000, count: 300, limit: 0.2 },
  { title: '1 MB', octets: 1e6, count: 20, limit: 0.25 },
  { title: '30 MB', octets: 30e6, count: 1, limit: 0.2 },
];
/** With those that are there anyway they must stay below 1000 fields. */
const manySignatures = [240, 480, 960];
const chunkSize = 64 * 1024;

export async function dkimTable(runs: number): Promise<string> {
  const signer = new Signer(mailDomain);
  const key = readKeyRecords([[signer.record]]);
  if (typeof key === 'string') throw new Error(key);
  const lines: string[][] = [];
  for (const { title, octets, count, limit } of sizes) {
    const message = Buffer.from((await signedMessage(octets, signer)).text.replaceAll('\n', '\r\n'), 'latin1');
    const resolver = () => Promise.resolve([[signer.record]]);
    const ours: number[] = [];
    const theirs: number[] = [];
    // The first round warms up.
    for (let run = 0; run <= runs; run++) {
      ours.push(await time(count, () => verify(message, key)));
      theirs.push(await time(count, () => verifyByMailauth(message, resolver)));
    }
    const ratio = median(ours.slice(1).map((one, at) => one / (theirs[at + 1] ?? Number.NaN)));
    const met = ratio <= limit ? 'met' : 'MISSED';
    lines.push([title, ...[ours, theirs].map(times => number(median(times.slice(1)))), number(ratio), `${limit}`, met]);
  }
  const verification = markdown(['message', 'ours, ms', 'mailauth, ms', 'ratio', 'at most', ''], lines, 1);
  return `${verification}\n\n${await signaturesTable(signer, key, runs)}`;
}

/** What a header full of signatures costs, all of the From domain (ten are tried) or all of others. */
async function signaturesTable(signer: Signer, key: DkimKey, runs: number): Promise<string> {
  const message = Buffer.from((await signedMessage(1000, signer)).text.replaceAll('\n', '\r\n'), 'latin1');
  const hash = Buffer.alloc(32).toString('base64');
  const field = (domain: string) =>
    `DKIM-Signature: v=1; a=rsa-sha256; d=${domain}; s=s; h=from; bh=${hash}; b=AAAA\r\n`;
  const lines: string[][] = [];
  for (const count of manySignatures) {
    const times: string[] = [];
    for (const domain of [mailDomain, 'other.test']) {
      const flood = Buffer.concat([Buffer.from(field(domain).repeat(count), 'latin1'), message]);
      const measured: number[] = [];
      for (let run = 0; run <= runs; run++) measured.push(await time(20, () => void attempt(flood, key)));
      times.push(number(median(measured.slice(1))));
    }
    lines.push([`${count}`, ...times]);
  }
  return markdown(['signatures', 'of the From domain, ms', 'of others, ms'], lines, 0);
}

async function time(count: number, work: () => unknown): Promise<number> {
  const start = performance.now();
  for (let done = 0; done < count; done++) await work();
  return (performance.now() - start) / count;
}

function verify(message: Buffer, key: DkimKey): void {
  if (!attempt(message, key)) throw new Error('our own verification fails');
}

/** Whether a signature verifies; the message comes in pieces, as from a socket. */
function attempt(message: Buffer, key: DkimKey): boolean {
  const reader = new HeaderReader();
  let at = 0;
  let text = '';
  let bodyStart: number | 'oversize' = -1;
  for (; bodyStart === -1 && at < message.length; at += chunkSize) {
    text = message.toString('latin1', at, at + chunkSize);
    bodyStart = reader.feed(text, 0);
  }
  const header = reader.fields();
  if (typeof header === 'string' || typeof bodyStart === 'string') throw new Error('the header is too large');
  const candidates = dkimCandidates(header, mailDomain);
  const digesters = digestsFor(candidates).map(form => [form, new BodyDigester(form)] as const);
  for (const [, digester] of digesters) digester.feed(text.slice(bodyStart));
  for (; at < message.length; at += chunkSize) {
    text = message.toString('latin1', at, at + chunkSize);
    for (const [, digester] of digesters) digester.feed(text);
  }
  const digests = new Map(digesters.map(([form, digester]) => [form, digester.end()]));
  return candidates.usable.some(signature => {
    const digest = digests.get(signature.bodyCanonicalization);
    const fault =
      digest && (checkClaims(signature, digest, Date.now() / 1000) ?? checkSignature(signature, header, key));
    return fault === null;
  });
}

async function verifyByMailauth(message: Buffer, resolver: () => Promise<string[][]>): Promise<void> {
  const { results } = await dkimVerify(message, { resolver });
  if (results[0]?.status.result !== 'pass') throw new Error(`mailauth: ${results[0]?.status.comment}`);
}
