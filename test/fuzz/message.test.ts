/**
 * The scanner and the encryption check against hostile input with a fixed budget. A failure prints seed and path: put them into
 * `budget` to run that case again.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Direction, isSecurejoinRequest, whyUnencrypted } from '../../src/check/encryption.ts';
import { parseMailbox } from '../../src/message/from.ts';
import { readCorpus } from '../check/corpus.ts';
import {
  armored,
  armorPart,
  base64Lines,
  encryptedMail,
  octetStream,
  opaque,
  packet,
  partialPacket,
  pkesk,
  securejoinMail,
  seipd,
  skesk,
} from '../message/samples.ts';
import { scan } from '../message/scan.ts';
import { strictMailbox } from '../message/strict-mailbox.ts';
import { isEncrypted } from '../message/strict-reader.ts';

const budget = { numRuns: 3000 } as const;

const realMails = readCorpus().flatMap(({ mail }) => (mail !== null && mail.length < 8000 ? [mail] : []));

const encoded = (encoding: string, body: string) =>
  encryptedMail({ second: armorPart(body, `${octetStream}Content-Transfer-Encoding: ${encoding}\r\n`) });

/** Small messages in all forms that count as encrypted, so that a mutation often hits a place that matters. */
const sampleMails = [
  encryptedMail(),
  encryptedMail({ boundary: 'b"\\', contentType: 'Content-Type: multipart/encrypted (c); boundary="b\\"\\\\"\r\n' }),
  encryptedMail({ boundary: '--', preamble: '\r\n', epilogue: '\r\n' }),
  encryptedMail({ preamble: 'This is an OpenPGP/MIME encrypted message\r\n' }),
  encryptedMail({ second: armorPart(armored(seipd, { headers: ['Version: x', 'Comment:'] })) }),
  encryptedMail({ second: armorPart(armored(packet(18, opaque(21)), { crc: null, width: 8 })) }),
  encryptedMail({ second: armorPart(armored(pkesk + partialPacket(18, [512, 1, 2], 1))) }),
  encryptedMail({ second: armorPart(armored(skesk + packet(18, 'xy', 5))) }),
  encoded('base64', base64Lines(armored(packet(18, opaque(30)), { eol: '\n' })).join('\r\n')),
  encoded(
    'quoted-printable',
    armored(packet(18, opaque(31)))
      .replaceAll('=', '=3D')
      .replaceAll(/(\w{20})/g, '$1=\r\n'),
  ),
];

// biome-ignore format: a line a token would be long.
const tokens = [
  '--b', '--b--', '--b\r\n', '\r\n--b\r\n\r\n', '--', '-', '\r\n', '\r\n\r\n', ' ', '\t', ' \r\n ', ':', ';', '=', '==',
  '=abcd\r\n', '"', '\\', '(', ')', '(c)', '/', '*', 'boundary=b', '; boundary=c', ';boundary*=b', ';x=y', 'Version: 1',
  'Comment: x\r\n', 'readable', 'Content-Type: text/plain\r\n', 'Content-Type : application/octet-stream\r\n',
  'Content-Transfer-Encoding: base64\r\n', 'Content-Transfer-Encoding: quoted-printable\r\n',
  'Content-Transfer-Encoding: 8BIT (x)\r\n', 'From: vic@two.test\r\n', '-----BEGIN PGP MESSAGE-----', '-----END PGP MESSAGE-----',
  'AAAA', 'A', '=3D', '=0A=', '=\r\n', '\0', '\xa0', '\xe9', '\x0c', '+', '_',
];

type Edit = {
  kind: 'insert' | 'delete' | 'replace' | 'repeat' | 'move';
  at: number;
  length: number;
  token: string;
  to: number;
};

const edit: fc.Arbitrary<Edit> = fc.record({
  kind: fc.constantFrom('insert', 'delete', 'replace', 'repeat', 'move'),
  at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  length: fc.oneof(fc.constant(1), fc.nat(4), fc.nat(80)),
  token: fc.oneof(
    fc.constantFrom(...tokens),
    fc.nat(255).map(code => String.fromCharCode(code)),
  ),
  to: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
});

function edited(mail: string, { kind, at: where, length, token, to }: Edit): string {
  const at = Math.floor(where * mail.length);
  const [head, piece, tail] = [mail.slice(0, at), mail.slice(at, at + length), mail.slice(at + length)];
  if (kind === 'insert') return head + token + piece + tail;
  if (kind === 'delete') return head + tail;
  if (kind === 'replace') return head + token + tail;
  if (kind === 'repeat') return head + piece + piece + tail;
  const rest = head + tail;
  const target = Math.floor(to * rest.length);
  return rest.slice(0, target) + piece + rest.slice(target);
}

const mutatedMail = (mails: readonly string[]) =>
  fc
    .tuple(fc.constantFrom(...mails), fc.array(edit, { maxLength: 4 }))
    .map(([mail, edits]) => edits.reduce(edited, mail));

function cutAt(text: string, cuts: readonly number[]): string[] {
  const offsets = [0, ...cuts.map(cut => Math.floor(cut * text.length)).sort((a, b) => a - b), text.length];
  return offsets.slice(1).map((offset, index) => text.slice(offsets[index], offset));
}

const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });

function verdicts(pieces: readonly string[]) {
  const evidence = scan(pieces);
  return [whyUnencrypted(evidence, 'outgoing'), whyUnencrypted(evidence, 'incoming'), isSecurejoinRequest(evidence)];
}

test('mutated messages give the same evidence and verdict however they are cut', () => {
  const mails = mutatedMail([...realMails, ...sampleMails, securejoinMail()]);
  fc.assert(
    fc.property(mails, cuts, (mail, where) => {
      const pieces = cutAt(mail, where);
      assert.deepEqual(scan(pieces), scan([mail]));
      assert.deepEqual(verdicts(pieces), verdicts([mail]));
    }),
    budget,
  );
});

test('any octets at all give the same evidence however they are cut', () => {
  const octets = fc.array(
    fc.oneof(
      fc.constantFrom(...tokens),
      fc.nat(255).map(code => String.fromCharCode(code)),
    ),
    { maxLength: 200 },
  );
  fc.assert(
    fc.property(octets, cuts, (list, where) => {
      const text = `Content-Type: multipart/encrypted; boundary=b\r\n\r\n${list.join('')}`;
      assert.deepEqual(scan(cutAt(text, where)), scan([text]));
    }),
    budget,
  );
});

// What reaches the scanner has CRLF for every line end and no NUL; the strict reader is written for that.
const inGoodForm = (mail: string) => !/\r(?!\n)|(?<!\r)\n|\0/.test(mail);

test('the check accepts exactly what the strict reader accepts', () => {
  const seen = { accepted: 0, refused: 0 };
  fc.assert(
    fc.property(
      mutatedMail(sampleMails),
      fc.constantFrom<Direction>('outgoing', 'incoming'),
      cuts,
      (mail, direction, where) => {
        fc.pre(inGoodForm(mail));
        const why = whyUnencrypted(scan(cutAt(mail, where)), direction);
        assert.equal(why === null, isEncrypted(mail, direction), JSON.stringify(why));
        seen[why === null ? 'accepted' : 'refused']++;
      },
    ),
    { numRuns: 8000 },
  );
  // Otherwise the mutations are too tame or too wild to tell anything.
  assert.ok(seen.accepted > 1000 && seen.refused > 1000, JSON.stringify(seen));
});

test('real messages: the strict reader agrees', () => {
  for (const { mail, direction, class: kind } of readCorpus())
    if (mail !== null && mail.length < 100_000) assert.equal(isEncrypted(mail, direction), kind === 'encrypted');
});

// biome-ignore format: a line a token would be long.
const fromTokens = [
  'me@one.test', '<me@one.test>', 'vic@two.test', '<', '>', '@', '"', '\\', '(', ')', ',', ';', ':', '.', ' ', '\t', '\r\n ', '[',
  ']', 'Ann', '=?utf-8?q?=40?=', '\xa0', '\xe9', '10.0.0.1', '\0',
];

const mailboxes = [
  'me@one.test',
  '"Me, myself" <me@one.test>',
  'J. R. Me <m.e@[ 10.0.0.1 ]>',
  '(a)=?utf-8?q?Me?= x\r\n <"m.e"@one.test> (b(c))',
  'm . e(x)@ one . test',
];

test('one mailbox is found exactly where the strict reader finds one', () => {
  const seen = { found: 0, refused: 0 };
  const anyText = fc.array(fc.constantFrom(...fromTokens), { maxLength: 9 }).map(list => list.join(''));
  const someMailbox = fc
    .tuple(
      fc.constantFrom(...mailboxes),
      fc.array(edit, { maxLength: 2 }),
      fc.array(fc.constantFrom(...fromTokens), { maxLength: 2 }),
    )
    .map(([mailbox, edits, more]) => edits.reduce(edited, mailbox) + more.join(''));
  fc.assert(
    fc.property(fc.oneof(anyText, someMailbox), value => {
      // The oracle takes a parenthesis in a literal for a comment.
      fc.pre(!/\[[\s\S]*[()]/.test(value));
      const address = parseMailbox(value);
      assert.equal(address, strictMailbox(value), JSON.stringify(value));
      seen[address === null ? 'refused' : 'found']++;
    }),
    { numRuns: 20_000 },
  );
  assert.ok(seen.found > 2000 && seen.refused > 2000, JSON.stringify(seen));
});
