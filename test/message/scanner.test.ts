import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BodyDigester } from '../../src/message/body-digest.ts';
import { type MessageDefect, MessageScanner, type PartEvidence } from '../../src/message/scanner.ts';
import { readInAllCuts } from './cuts.ts';
import {
  armored,
  armorPart,
  base64Lines,
  type EncryptedMail,
  encryptedMail,
  octetStream,
  pkesk,
  securejoinMail,
  seipd,
} from './samples.ts';
import { scan } from './scan.ts';

function partsOf(mail: string): readonly PartEvidence[] {
  return readInAllCuts(mail, scan).multipart?.parts ?? [];
}

test('an encrypted message', () => {
  const evidence = readInAllCuts(encryptedMail(), scan);
  assert.deepEqual(
    evidence.header.map(field => field.name),
    ['from', 'subject', 'mime-version', 'content-type'],
  );
  assert.deepEqual(
    { ...evidence, header: [] },
    {
      defect: null,
      header: [],
      contentType: { type: 'multipart', subtype: 'encrypted', boundary: 'b' },
      multipart: {
        fault: null,
        parts: [
          {
            contentType: { type: 'application', subtype: 'pgp-encrypted', boundary: null },
            text: 'Version: 1\r\n',
            armor: null,
          },
          {
            contentType: { type: 'application', subtype: 'octet-stream', boundary: null },
            text: null,
            armor: { fault: null, headers: false },
          },
        ],
        preamble: 'blank',
        epilogue: 'blank',
      },
      digests: new Map(),
    },
  );
});

test('the body digests that the header asks for', () => {
  const bodyOf = (mail: string) => mail.slice(mail.indexOf('\r\n\r\n') + 4);
  for (const mail of [
    encryptedMail(),
    'From: a@b.test\r\n',
    'From: a@b.test\r\n\r\n',
    'From: a@b.test\r\n\r\n x \t\r\n\r\n',
  ]) {
    const evidence = readInAllCuts(mail, pieces => {
      const asked: string[][] = [];
      const scanner = new MessageScanner(header => {
        asked.push(header.map(({ name }) => name));
        return ['simple', 'relaxed'];
      });
      for (const piece of pieces) scanner.feed(piece);
      const { digests, header } = scanner.end();
      assert.deepEqual(asked, [header.map(({ name }) => name)], 'asked once, with the whole header');
      return digests;
    });
    for (const form of ['simple', 'relaxed'] as const) {
      const digester = new BodyDigester(form);
      digester.feed(mail.includes('\r\n\r\n') ? bodyOf(mail) : '');
      assert.deepEqual(evidence.get(form), digester.end());
    }
  }
});

test('a securejoin request', () => {
  const { multipart } = readInAllCuts(securejoinMail(), scan);
  assert.deepEqual(multipart, {
    fault: null,
    parts: [
      {
        contentType: { type: 'text', subtype: 'plain', boundary: null },
        text: 'Secure-Join: vc-request',
        armor: null,
      },
    ],
    preamble: 'blank',
    epilogue: 'blank',
  });
});

const plain: [name: string, mail: string, defect: MessageDefect | null, fields: number][] = [
  ['nothing', '', null, 0],
  ['a blank line', '\r\n', null, 0],
  ['no header', '\r\nreadable text\r\n', null, 0],
  ['a header without end', 'From: me@one.test\r\nSubject: x\r\n', null, 2],
  ['a header with end and no body', 'From: me@one.test\r\n\r\n', null, 1],
  ['text', 'From: me@one.test\r\n\r\nHello\r\n', null, 1],
  ['text that looks like parts', 'Content-Type: text/plain; boundary=b\r\n\r\n--b\r\n\r\n1\r\n--b--\r\n', null, 1],
  ['a line that is no field', 'From: me@one.test\r\nreadable\r\n\r\n', 'malformed header', 0],
  ['a line that is no field, without end', 'From: me@one.test\r\nreadable\r\n', 'malformed header', 0],
  ['8-bit in a field name', 'Fr\xf6m: me@one.test\r\n\r\n', 'malformed header', 0],
  ['8-bit in values', 'From: J\xc3\xb6rg <me@one.test>\r\nX: \xff\xa0\r\n\r\n', null, 2],
  ['1000 fields', `${'X: y\r\n'.repeat(1000)}\r\n`, null, 1000],
  ['1001 fields', `${'X: y\r\n'.repeat(1001)}\r\n`, 'header too large', 0],
  ['100,000 fields', `${'X:\r\n'.repeat(100_000)}\r\n`, 'header too large', 0],
  ['an endless line', 'x'.repeat(400_000), 'header too large', 0],
  ['an endless header', 'X: y\r\n'.repeat(60_000), 'header too large', 0],
  ['10,000 MIME parameters', `Content-Type: text/plain${'; x=y'.repeat(10_000)}\r\n\r\n`, null, 1],
];

test('messages that are no multipart, cut at every offset', async t => {
  for (const [name, mail, defect, fields] of plain) {
    await t.test(name, () => {
      const evidence = readInAllCuts(mail, scan);
      assert.deepEqual(
        { defect: evidence.defect, fields: evidence.header.length, multipart: evidence.multipart },
        { defect, fields, multipart: null },
      );
    });
  }
});

test('100,000 MIME parameters are more than a header may hold', () => {
  const mail = encryptedMail({
    contentType: `Content-Type: multipart/encrypted${'; x=y'.repeat(100_000)}; boundary=b\r\n`,
  });
  assert.equal(readInAllCuts(mail, scan).defect, 'header too large');
});

test('a Content-Type of more than 8 KiB counts for nothing: Postfix would cut it', () => {
  const mail = encryptedMail({
    contentType: `Content-Type: multipart/encrypted${'; x=y'.repeat(40_000)}; boundary=b\r\n`,
  });
  const { contentType, multipart } = scan([mail]);
  assert.deepEqual([contentType, multipart], [null, null]);
});

test('a part header that is too large is a defect of the message', () => {
  for (const header of ['X: y\r\n'.repeat(1001), `X: ${'y'.repeat(262_144)}\r\n`]) {
    const mail = encryptedMail({ second: armorPart(undefined, octetStream + header) });
    assert.equal(readInAllCuts(mail, scan).defect, 'header too large');
  }
});

const typeless = [
  ['two Content-Type fields', 'Content-Type: multipart/encrypted; boundary=b\r\nContent-Type : text/html\r\n'],
  ['two boundaries', 'Content-Type: multipart/encrypted; boundary=b; boundary=c\r\n'],
  ['a boundary in RFC 2231 form', "Content-Type: multipart/encrypted; boundary*=us-ascii''b\r\n"],
] as const;

test('a Content-Type that two readers could read in two ways is none', async t => {
  for (const [name, contentType] of typeless) {
    await t.test(name, () => {
      const evidence = readInAllCuts(encryptedMail({ contentType }), scan);
      assert.deepEqual([evidence.contentType, evidence.multipart], [null, null]);
    });
  }
});

const badBoundaries = ['', 'b'.repeat(71), 'b'.repeat(700), 'b ', 'b\xe9'];

test('a boundary that cannot be one makes a multipart without parts', async t => {
  for (const boundary of badBoundaries) {
    await t.test(`of ${boundary.length} octets`, () => {
      const { multipart } = readInAllCuts(encryptedMail({ boundary }), scan);
      assert.deepEqual([multipart?.fault, multipart?.parts], ['boundary', []]);
    });
  }
  await t.test('none', () => {
    const { multipart } = scan([encryptedMail({ contentType: 'Content-Type: multipart/encrypted\r\n' })]);
    assert.equal(multipart?.fault, 'boundary');
  });
});

/** What the second part is; null where it is no armor at all. */
const seconds: [name: string, second: string, fault: string | null][] = [
  ['armor', armorPart(), ''],
  ['8bit', armorPart(undefined, `${octetStream}Content-Transfer-Encoding: 8bit\r\n`), ''],
  ['base64', encoded('base64', base64Lines(armored(pkesk + seipd)).join('\r\n')), ''],
  [
    'base64 of lines that end in LF',
    encoded('base64', base64Lines(armored(pkesk + seipd, { eol: '\n' })).join('\r\n')),
    '',
  ],
  ['quoted-printable', encoded('quoted-printable', armored(pkesk + seipd).replaceAll('=', '=3D')), ''],
  [
    'quoted-printable with soft breaks',
    encoded(
      'quoted-printable',
      armored(pkesk + seipd)
        .replaceAll('=', '=3D')
        .replaceAll(/(\w{40})/g, '$1=\r\n'),
    ),
    '',
  ],
  [
    'quoted-printable of lines that end in LF',
    encoded(
      'quoted-printable',
      armored(pkesk + seipd, { eol: '\n' })
        .replaceAll('=', '=3D')
        .replaceAll('\n', '=0A=\r\n'),
    ),
    '',
  ],
  ['base64 that is not decoded', encoded('base64', armored(pkesk + seipd)), null],
  [
    'base64 with text behind',
    encoded('base64', `${base64Lines(`${armored(seipd)}\r\n`).join('\r\n')}\r\nreadable!`),
    null,
  ],
  ['base64 of text behind', encoded('base64', base64Lines(`${armored(seipd)}\r\nreadable`).join('\r\n')), 'armor tail'],
  ['quoted-printable that is none', encoded('quoted-printable', armored(pkesk + seipd)), null],
  [
    'quoted-printable of text behind',
    encoded('quoted-printable', `${armored(seipd).replaceAll('=', '=3D')}\r\n=48i`),
    'armor tail',
  ],
  ['an unknown encoding', encoded('x-uuencode', armored(seipd)), null],
  ['two encodings', encoded('7bit\r\nContent-Transfer-Encoding: base64', armored(seipd)), null],
  ['two equal encodings', encoded('7bit\r\nContent-Transfer-Encoding : 7bit', armored(seipd)), null],
  ['two types', armorPart(undefined, `${octetStream}Content-Type: text/html\r\n`), null],
  ['another type', armorPart(undefined, 'Content-Type: text/plain\r\n'), null],
  ['no type', armorPart(undefined, ''), null],
  ['a multipart', armorPart(undefined, 'Content-Type: multipart/mixed; boundary=c\r\n'), null],
  ['a message', armorPart(undefined, 'Content-Type: message/rfc822\r\n'), null],
  ['nothing in it', octetStream, 'no BEGIN line'],
  ['text before', armorPart(`readable\r\n${armored(seipd)}`), 'no BEGIN line'],
  ['a blank line before', armorPart(`\r\n${armored(seipd)}`), 'no BEGIN line'],
  ['text behind', armorPart(`${armored(seipd)}\r\nreadable`), 'armor tail'],
];

function encoded(encoding: string, body: string): string {
  return armorPart(body, `${octetStream}Content-Transfer-Encoding: ${encoding}\r\n`);
}

test('the second part, cut at every offset', async t => {
  for (const [name, second, fault] of seconds) {
    await t.test(name, () => {
      const [, part] = partsOf(encryptedMail({ second }));
      assert.equal(part?.armor === null ? null : (part?.armor.fault ?? ''), fault);
    });
  }
});

test('only the second part of a multipart/encrypted is armor', () => {
  const other: Partial<EncryptedMail> = { contentType: 'Content-Type: multipart/mixed; boundary=b\r\n' };
  assert.deepEqual(
    partsOf(encryptedMail(other)).map(part => part.armor),
    [null, null],
  );
  const both: Partial<EncryptedMail> = { first: armorPart(), more: `\r\n--b\r\n${armorPart()}` };
  assert.deepEqual(
    partsOf(encryptedMail(both)).map(part => part.armor?.fault),
    [undefined, null, undefined],
  );
});

const texts: [name: string, first: string, text: string | null][] = [
  ['no header', '\r\nHello', 'Hello'],
  ['nothing', 'Content-Type: text/plain\r\n\r\n', ''],
  ['1024 octets', `\r\n${'x'.repeat(1024)}`, 'x'.repeat(1024)],
  ['1025 octets', `\r\n${'x'.repeat(1025)}`, null],
  ['100 kB', `\r\n${'readable\r\n'.repeat(10_000)}`, null],
  ['base64', 'Content-Transfer-Encoding: base64\r\n\r\nVmVyc2lvbjogMQ==', 'Version: 1'],
  ['quoted-printable', 'Content-Transfer-Encoding: quoted-printable\r\n\r\nVersion=3A=\r\n 1', 'Version: 1'],
  ['malformed base64', 'Content-Transfer-Encoding: base64\r\n\r\nVersion: 1', null],
  ['base64 that goes bad late', 'Content-Transfer-Encoding: base64\r\n\r\nVmVyc2lvbjogMQ==\r\nx', null],
  ['base64 of more than 1024 octets', `Content-Transfer-Encoding: base64\r\n\r\n${'Zm9v'.repeat(400)}`, null],
  ['an unknown encoding', 'Content-Transfer-Encoding: x-none\r\n\r\nVersion: 1', null],
  ['a multipart', 'Content-Type: multipart/mixed; boundary=c\r\n\r\nVersion: 1', null],
];

test('the text of a part, cut at every offset', async t => {
  for (const [name, first, text] of texts) {
    await t.test(name, () => assert.equal(partsOf(encryptedMail({ first }))[0]?.text, text));
  }
});

test('no more than three parts are told', () => {
  const parts = partsOf(securejoinMail({ parts: Array.from({ length: 2000 }, (_, n) => `\r\n${n}`) }));
  assert.deepEqual(
    parts.map(part => part.text),
    ['0', '1', '2'],
  );
});

const outsides: [name: string, text: string, kind: string][] = [
  ['nothing', '', 'blank'],
  ['blank lines', '\r\n\r\n \t\r\n', 'blank'],
  ['10,000 blank lines', '\r\n'.repeat(10_000), 'blank'],
  ['a sentence', 'This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)\r\n', 'short ASCII'],
  ['a tab', 'a\tb\r\n', 'short ASCII'],
  ['256 octets', `${'x'.repeat(256)}\r\n`, 'short ASCII'],
  ['257 octets', `${'x'.repeat(257)}\r\n`, 'other'],
  ['blank lines and one letter', `${'\r\n'.repeat(200)}x\r\n`, 'other'],
  ['8-bit', 'caf\xe9\r\n', 'other'],
  ['a no-break space', '\xa0\r\n', 'other'],
  ['a form feed', '\f\r\n', 'other'],
  ['an escape', '\x1b[2J\r\n', 'other'],
  ['endless', 'readable\r\n'.repeat(10_000), 'other'],
];

test('text outside the parts, cut at every offset', async t => {
  for (const [name, text, kind] of outsides) {
    await t.test(name, () => {
      assert.equal(readInAllCuts(encryptedMail({ preamble: text }), scan).multipart?.preamble, kind, 'before');
      // The line end before a delimiter belongs to it, so behind the last one there are two octets more.
      const epilogue = text === `${'x'.repeat(256)}\r\n` ? text.slice(0, -2) : text;
      assert.equal(readInAllCuts(encryptedMail({ epilogue }), scan).multipart?.epilogue, kind, 'behind');
    });
  }
});

test('no closing delimiter', () => {
  const { multipart } = readInAllCuts(encryptedMail({ close: '' }), scan);
  assert.equal(multipart?.fault, 'no closing delimiter');
  assert.equal(multipart?.parts.length, 1);
});

test('a message cut off anywhere is not complete', () => {
  const mail = encryptedMail();
  for (let at = 0; at < mail.length; at++) {
    const { multipart } = scan([mail.slice(0, at)]);
    assert.notEqual(multipart === null ? 'none' : multipart.fault, null, `at ${at}`);
  }
});
