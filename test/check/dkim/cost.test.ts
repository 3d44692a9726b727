/**
 * Cost grows linearly with the size of the header and the body, whatever an attacker repeats. Time is measured at a size and at four
 * times it: linear work takes four times as long, quadratic work sixteen times.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bodyHash } from './oracle.ts';
import { domain, now, signedMessage, zoneOf } from './signer.ts';
import { rsa } from './test-keys.ts';
import { digest, verdicts } from './verify.ts';

const factor = 4;
const highestRatio = 10;
/** What takes no longer than this at the large size is not quadratic in any way that matters. Milliseconds. */
const negligible = 40;

const zone = zoneOf(rsa.record);
const circumstances = { zone, now, domain, pieces: [65_536] };
const from = `From: a@${domain}\r\n`;
/** The right one, so that the header is canonicalized too. */
const { hash } = bodyHash('x\r\n', 'relaxed');
const tags = `v=1; a=rsa-sha256; c=relaxed/relaxed; d=${domain}; s=s1; bh=${hash}; b=${Buffer.alloc(128, 1).toString('base64')}`;
const field = (more: string) => `DKIM-Signature: ${tags}; ${more}\r\n`;

function timeOf(run: () => void): number {
  const times = [1, 2, 3].map(() => {
    const start = performance.now();
    run();
    return performance.now() - start;
  });
  return Math.min(...times);
}

function isLinear(run: (size: number) => () => void, size: number, what: string): void {
  const large = run(size * factor);
  large();
  const cost = timeOf(large);
  if (cost < negligible) return;
  const ratio = cost / timeOf(run(size));
  assert.ok(ratio <= highestRatio, `${what}: ${cost.toFixed()} ms, ${ratio.toFixed(1)} times as long`);
}

const fill = (unit: string, octets: number) => unit.repeat(Math.ceil(octets / unit.length));

const units = [
  ' ',
  '\t',
  ' \r\n',
  '\r\n ',
  '\r\n\t',
  'a ',
  'a  ',
  ' \t',
  ' \r\n \t\r\n',
  ':',
  ' : ',
  'a:',
  'from:',
  '=',
  'b=',
  '@',
  '.',
  'a.',
  '"',
  '\\',
];

/** Where a run may stand. Every header has a signature that is tried. */
const places: [place: string, header: (run: string) => string][] = [
  ['an unknown tag', run => field(`h=from; n=x${run}y`) + from],
  ['the end of the tags', run => field(`h=from;${run}`) + from],
  ['h=', run => field(`h=from:${run}x`) + from],
  ['i=', run => field(`h=from; i=${run}@${domain}`) + from],
  ['z=', run => field(`h=from; z=${run}`) + from],
  ['q=', run => field(`h=from; q=dns/txt:${run}x`) + from],
  ['b=', run => field('h=from').replace('b=', `b=${run}`) + from],
  ['bh=', run => field('h=from').replace('bh=', `bh=${run}`) + from],
  ['d=', run => field('h=from').replace('; d=', `; d=${run}`) + from],
  ['s=', run => field('h=from').replace('; s=', `; s=${run}`) + from],
  ['a signed field', run => `${field('h=from:subject')}${from}Subject: x${run}y\r\n`],
  ['a signed field, alone', run => `${field('h=from:subject')}${from}Subject:${run}x\r\n`],
  ['every signature signs it', run => `${field('h=from:subject').repeat(10)}${from}Subject: x${run}y\r\n`],
];

test('folded and repeated texts of 250 KiB in every place of a header', () => {
  for (const [place, header] of places) {
    for (const unit of units) {
      // A line end must have a blank behind it.
      const run = (octets: number) => {
        const message = `${header(fill(unit, octets).replace(/\r\n(?=$|[^ \t])/g, '\r\n '))}\r\nx\r\n`;
        return () => void verdicts(message, circumstances);
      };
      isLinear(run, 60_000, `${place}: ${JSON.stringify(unit)}`);
    }
    assert.deepEqual(
      verdicts(`${header('')}\r\nx\r\n`, circumstances).slice(0, 1),
      ['signature does not match'],
      place,
    );
  }
});

test('headers over 256 KiB or 1000 fields are refused before anything is read in them', () => {
  const one = field('h=from');
  assert.equal(verdicts(`${one.repeat(10_000)}${from}\r\n`, circumstances), 'oversize');
  assert.equal(verdicts(`${field(`h=from; n=${'x'.repeat(262_144)}`)}${from}\r\n`, circumstances), 'oversize');
  assert.equal(verdicts(`${'DKIM-Signature: x\r\n'.repeat(1000)}${from}\r\n`, circumstances), 'oversize');
  assert.equal(verdicts(`${'DKIM-Signature: x\r\n'.repeat(10_000)}${from}\r\n`, circumstances), 'oversize');
});

test('of many signatures ten aligned ones are tried', () => {
  const short = `DKIM-Signature: v=1; a=rsa-sha256; d=${domain}; s=s1; h=from; c=simple/relaxed; bh=${hash}; b=AAAA\r\n`;
  const words = verdicts(`${short.repeat(999)}${from}\r\nx\r\n`, circumstances);
  assert.deepEqual(words, [...Array(10).fill('signature does not match'), ...Array(989).fill('not tried')]);

  const good = signedMessage();
  const others = signedMessage({ tags: { d: 'other.test' } }).replace(/\r\nFrom[\s\S]*/, '\r\n');
  assert.deepEqual(verdicts(others.repeat(500) + good, circumstances), [...Array(500).fill('unaligned'), 'pass']);
  const faulty = 'DKIM-Signature: v=1; d=example.org\r\n';
  assert.deepEqual(verdicts(faulty.repeat(9) + good, circumstances), [...Array(9).fill('algorithm'), 'pass']);
  assert.deepEqual(verdicts(faulty.repeat(10) + good, circumstances), [...Array(10).fill('algorithm'), 'not tried']);
});

test('many signatures that name many fields', () => {
  isLinear(
    count => {
      const names = Array.from({ length: count }, (_, at) => `x${at % 900}`).join(':');
      const fields = Array.from({ length: 900 }, (_, at) => `X${at}: y\r\n`).join('');
      const message = `${field(`h=from:${names}`).repeat(8)}${from}${fields}\r\nx\r\n`;
      assert.deepEqual(verdicts(message, circumstances), Array(8).fill('signature does not match'));
      return () => void verdicts(message, circumstances);
    },
    1300,
    'names',
  );
  const names = Array(10_000).fill('x').join(':');
  assert.deepEqual(verdicts(signedMessage({ tags: { h: `from:${names}:${names}` } }), circumstances), ['pass']);
});

test('bodies of blanks and line ends', () => {
  for (const unit of [' ', '\t', '\r\n', ' \r\n', ' \t', 'a \r\n\r\n', 'a  ', ' \r\n\t\r\n', 'a']) {
    for (const piece of [1, 3, 65_536]) {
      for (const form of ['simple', 'relaxed'] as const) {
        const run = (octets: number) => {
          const body = fill(unit, octets);
          return () => void digest(body, form, [piece]);
        };
        isLinear(run, piece > 9 ? 500_000 : 40_000, `${JSON.stringify(unit)} in pieces of ${piece}, ${form}`);
      }
    }
  }
});

test('a message of 30 MB in odd pieces', () => {
  const line = `${'0123456789abcdef'.repeat(4)}  \t\r\n`;
  const body = `${line}\r\n  \r\n${'-'.repeat(70)}\r\n`.repeat(200_000);
  assert.ok(body.length > 29_000_000);
  for (const form of ['simple', 'relaxed']) {
    const message = signedMessage({ body, tags: { c: `relaxed/${form}` } });
    assert.deepEqual(verdicts(message, { ...circumstances, pieces: [65_536, 1, 999_983, 7, 4096] }), ['pass']);
    const at = message.length - 15_000_000;
    const changed = `${message.slice(0, at)}${message[at] === '-' ? '+' : '-'}${message.slice(at + 1)}`;
    assert.deepEqual(verdicts(changed, circumstances), ['body hash does not match']);
  }
});
