/**
 * Cost grows linearly with the size, whatever an attacker repeats. Time is measured at a size and at eight times it: linear work takes
 * eight times as long, quadratic work 64 times. The limit lies far from both, so that a busy machine changes nothing.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeOutgoing } from '../../src/check/outgoing.ts';
import { envelope } from '../check/envelopes.ts';
import { piecesOf } from '../message/cuts.ts';
import {
  armored,
  armorPart,
  beginLine,
  encryptedMail,
  octetStream,
  packet,
  securejoinMail,
} from '../message/samples.ts';
import { scan } from '../message/scan.ts';

const factor = 8;
const highestRatio = 28;
/** What takes no longer than this at the large size is not quadratic in any way that matters. */
const negligible = 60;

function judge(pieces: readonly string[]): void {
  judgeOutgoing(envelope('me@one.test', 'me@one.test'), scan(pieces), { senders: [], recipients: [] });
}

function median(run: () => void): number {
  const times = [1, 2, 3].map(() => {
    const start = performance.now();
    run();
    return performance.now() - start;
  });
  return times.sort((a, b) => a - b)[1] ?? 0;
}

/** How often the cost of the large input is that of the small one; 0 when it is negligible. */
function ratioOf(small: () => void, large: () => void): number {
  large();
  const cost = median(large);
  return cost < negligible ? 0 : cost / median(small);
}

function isLinear(make: (octets: number) => string, octets: number, chunk: number): void {
  const small = piecesOf(make(octets), chunk);
  const large = piecesOf(make(octets * factor), chunk);
  const run = () =>
    ratioOf(
      () => judge(small),
      () => judge(large),
    );
  // Other work on the machine may spoil one measurement, not three.
  const ratios: number[] = [];
  while (ratios.length < 3 && (ratios.at(-1) ?? Number.POSITIVE_INFINITY) > highestRatio) ratios.push(run());
  assert.ok((ratios.at(-1) ?? 0) <= highestRatio, `times ${ratios.map(ratio => ratio.toFixed(1))}`);
}

const fill = (unit: string, octets: number) => unit.repeat(Math.ceil(octets / unit.length));
const long = 'b'.repeat(64);
const dashes = '-'.repeat(64);
const encoding = (name: string) => `${octetStream}Content-Transfer-Encoding: ${name}\r\n`;

const bodies: [name: string, make: (octets: number) => string][] = [
  ['almost boundaries', n => encryptedMail({ boundary: long, first: `\r\n${fill(`\r\n--${long.slice(1)}`, n)}` })],
  [
    'almost boundaries that differ late',
    n => encryptedMail({ boundary: `${long}x`, preamble: fill(`\r\n--${long}y`, n) }),
  ],
  ['dashes and a boundary of dashes', n => encryptedMail({ boundary: dashes, first: `\r\n${fill('-', n)}` })],
  ['lines of dashes', n => encryptedMail({ boundary: `${dashes}x`, second: armorPart(fill(`${dashes}\r\n`, n)) })],
  ['line ends before dashes', n => encryptedMail({ boundary: dashes, first: `\r\n${fill('\r\n-', n)}` })],
  [
    'delimiters that begin with a boundary of dashes',
    n => encryptedMail({ boundary: dashes, preamble: fill(`${dashes}\r\n`, n) }),
  ],
  ['blanks', n => encryptedMail({ preamble: fill(' ', n) })],
  ['blank lines', n => encryptedMail({ epilogue: fill('\r\n', n) })],
  ['CRs', n => encryptedMail({ first: `\r\n${fill('\r', n)}` })],
  ['LFs', n => encryptedMail({ second: armorPart(fill('\n', n)) })],
  ['parts', n => encryptedMail({ more: fill('\r\n--b\r\nA: b\r\n\r\nx', n) })],
  ['empty parts', n => encryptedMail({ more: fill('\r\n--b\r\n\r\n', n) })],
  ['delimiters with blanks', n => encryptedMail({ more: fill(`\r\n--b${' '.repeat(900)}\r\n\r\n`, n) })],
  [
    'nested multiparts',
    n => encryptedMail({ first: fill('Content-Type: multipart/mixed; boundary=b\r\n\r\n--b1\r\n', n) }),
  ],
  ['text', n => `From: me@one.test\r\n\r\n${fill('readable\r\n', n)}`],
  ['a long part', n => securejoinMail({ parts: [`\r\n${fill('readable\r\n', n)}`] })],
  ['armor', n => encryptedMail({ second: armorPart(armored(packet(18, fill('opaque', n)))) })],
  [
    'armor in lines of one letter',
    n => encryptedMail({ second: armorPart(armored(packet(18, fill('opaque', n / 3)), { width: 1 })) }),
  ],
  [
    'armor without lines',
    n => encryptedMail({ second: armorPart(armored(packet(18, fill('opaque', n)), { width: n * 2 })) }),
  ],
  ['empty keys', n => encryptedMail({ second: armorPart(armored(fill('\xc1\0', n))) })],
  [
    'chunks of one octet',
    n => encryptedMail({ second: armorPart(armored(`\xd2\xe9${'x'.repeat(512)}${fill('\xe0x', n)}`)) }),
  ],
  ['line ends in armor', n => encryptedMail({ second: armorPart(`${beginLine}\r\n\r\nA${fill('\r\n', n)}`) })],
  [
    'line ends behind armor',
    n => encryptedMail({ second: armorPart(`${armored(packet(18, 'x'))}${fill('\r\n', n)}`) }),
  ],
  ['equals signs in armor', n => encryptedMail({ second: armorPart(`${beginLine}\r\n\r\n${fill('=', n)}`) })],
  ['armor headers', n => encryptedMail({ second: armorPart(`${beginLine}\r\n${fill('Comment: x\r\n', n)}`) })],
  ['blanks in armor headers', n => encryptedMail({ second: armorPart(`${beginLine}\r\n${fill(' ', n)}`) })],
  ['equals signs in base64', n => encryptedMail({ second: armorPart(fill('=', n), encoding('base64')) })],
  ['line ends in base64', n => encryptedMail({ second: armorPart(`A${fill('\r\n', n)}`, encoding('base64')) })],
  [
    'octets in quoted-printable',
    n => encryptedMail({ second: armorPart(fill(`${'=41'.repeat(20)}\r\n`, n), encoding('quoted-printable')) }),
  ],
  ['soft breaks', n => encryptedMail({ second: armorPart(fill('=\r\n', n), encoding('quoted-printable')) })],
  [
    'equals signs in quoted-printable',
    n => encryptedMail({ second: armorPart(fill('=', n), encoding('quoted-printable')) }),
  ],
  [
    'lines of blanks in quoted-printable',
    n => encryptedMail({ second: armorPart(fill(`${' '.repeat(990)}\r\n`, n), encoding('quoted-printable')) }),
  ],
  [
    'one line of blanks in quoted-printable',
    n => encryptedMail({ second: armorPart(fill(' \t', n), encoding('quoted-printable')) }),
  ],
];

test('bodies of 4 MB', async t => {
  for (const [name, make] of bodies) await t.test(name, () => isLinear(make, 512 * 1024, 65_536));
});

test('bodies of 400 kB in pieces of 64 octets', async t => {
  for (const [name, make] of bodies) await t.test(name, () => isLinear(make, 50_000, 64));
});

// biome-ignore format: a line a token would be long.
const units = [
  ' ', '\t', '\r\n ', 'x', 'x ', '(', '()', '(()', '\\', '(\\', '"', '""', '"\\', '" ', '@', '<', '>', '<>', ',', ';', ':', '.',
  'a.', ' . ', '=', ';x=y', '; x="y"', ';boundary=', '/', '[', '[]', '\xa0', '=?utf-8?q?x?= ', 'a@b,', '<a@b>,',
];
const openings = ['', '"', '(', '<', 'me@one.test ', 'multipart/encrypted; x="', 'multipart/encrypted; boundary=b '];

/** The field in the message, and in its part, once each and instead of the usual one. */
function withField(name: string, value: string): string {
  const usual = { From: 'me@one.test', 'Content-Type': 'multipart/mixed; boundary=b', Subject: 'x', [name]: value };
  const header = Object.entries(usual).map(field => `${field.join(': ')}\r\n`);
  return `${header.join('')}\r\n--b\r\n${name}: ${value}\r\n\r\nx\r\n--b--\r\n`;
}

test('fields of 240 KiB', async t => {
  for (const name of ['From', 'Content-Type', 'Content-Transfer-Encoding', 'Subject', 'Secure-Join']) {
    await t.test(name, () => {
      for (const unit of units) {
        for (const opening of openings) {
          isLinear(n => withField(name, opening + fill(unit, n)), 30 * 1024, 65_536);
        }
      }
    });
  }
});

test('a header of 250 KiB of short or nameless lines', () => {
  for (const unit of ['A:\r\n', 'A: b\r\n c\r\n', '\r\n ', ' ', 'A', 'A ', 'A\t', ':', '\r', '\n', '\r\n\r'])
    isLinear(n => `X: y\r\n${fill(unit, n)}`, 31 * 1024, 65_536);
});

test('the measurement tells quadratic work from linear work', () => {
  const work = (steps: number) => () => {
    let sum = 0;
    for (let step = 0; step < steps; step++) sum += Math.imul(step, sum + 1) >> 3;
    assert.ok(Number.isFinite(sum));
  };
  const base = 2_000_000;
  assert.ok(ratioOf(work(base), work(base * factor)) < highestRatio);
  assert.ok(ratioOf(work(base), work(base * factor ** 2)) > highestRatio);
});

test('a megabyte octet by octet', () => {
  const start = performance.now();
  judge([...encryptedMail({ second: armorPart(armored(packet(18, fill('opaque', 700_000)))) })]);
  const seconds = (performance.now() - start) / 1000;
  // It takes under a second; copying what came so far for each octet would take minutes.
  assert.ok(seconds < 30, `${seconds} s`);
});
