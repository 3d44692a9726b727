// What a message from elsewhere is, and whether its recipients take what everybody can read.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type IncomingContent, type IncomingKind, incomingContent, mayArrive } from '../../src/check/incoming.ts';
import { readInAllCuts } from '../message/cuts.ts';
import { armored, armorPart, encryptedMail, pkesk, securejoinMail, seipd } from '../message/samples.ts';
import { scan } from '../message/scan.ts';

const contentOf = (text: string): IncomingContent => incomingContent(scan([text]));

type Report = Readonly<{ from: string; fields: string; type: string }>;
function report(change: Partial<Report> = {}): string {
  const { from, fields, type }: Report = {
    from: 'From: MAILER-DAEMON@two.test\r\n',
    fields: 'Auto-Submitted: auto-replied\r\n',
    type: 'multipart/report; report-type=delivery-status; boundary="b"',
    ...change,
  };
  return `${from}${fields}Content-Type: ${type}\r\n\r\n--b\r\n\r\nSorry.\r\n--b--\r\n`;
}
const reportFrom = (from: string) => report({ from: `From: ${from}\r\n` });
const autoSubmitted = (value: string) => report({ fields: `Auto-Submitted:${value}\r\n` });

const kinds: [name: string, kind: IncomingKind, text: string][] = [
  ['encrypted', 'encrypted', encryptedMail()],
  ['with armor headers', 'encrypted', withArmor(['Version: 1', 'Comment: a: b', 'Charset: utf-8'])],
  ['with an odd armor header', 'unencrypted', withArmor(['no header'])],
  ['with a preamble', 'encrypted', encryptedMail({ preamble: 'This is an OpenPGP/MIME encrypted message\r\n' })],
  ['with a preamble of 256 octets', 'encrypted', encryptedMail({ preamble: `${'x'.repeat(254)}\r\n\r\n` })],
  ['with a preamble of 257 octets', 'unencrypted', encryptedMail({ preamble: `${'x'.repeat(255)}\r\n\r\n` })],
  ['with a preamble that is no ASCII', 'unencrypted', encryptedMail({ preamble: '\xe9\r\n' })],
  ['with an epilogue', 'unencrypted', encryptedMail({ epilogue: 'x\r\n' })],
  ['encrypted, without From', 'encrypted', encryptedMail({ header: 'Subject: x\r\n' })],
  ['encrypted, by a mailer-daemon', 'encrypted', encryptedMail({ header: 'From: mailer-daemon@two.test\r\n' })],
  ['securejoin', 'securejoin', securejoinMail()],
  ['securejoin with a preamble', 'unencrypted', securejoinMail().replace('--b', 'Hello\r\n--b')],
  ['readable', 'unencrypted', 'From: me@two.test\r\n\r\nHello\r\n'],
  ['nothing', 'unencrypted', ''],

  ['a report', 'mailer-daemon', report()],
  ['small letters', 'mailer-daemon', reportFrom('mailer-daemon@two.test')],
  ['all cases', 'mailer-daemon', reportFrom('"Mail Delivery" <mAiLeR-dAeMoN@Two.Test>')],
  ['a literal', 'mailer-daemon', reportFrom('MAILER-DAEMON@[192.0.2.1]')],
  ['a blank before the colon', 'mailer-daemon', report({ fields: 'Auto-Submitted : auto-generated\r\n' })],
  ['another name of the field', 'unencrypted', report({ fields: 'X-Auto-Submitted: auto-replied\r\n' })],
  ['a value of any kind', 'mailer-daemon', autoSubmitted(' no')],
  ['a folded value', 'mailer-daemon', autoSubmitted('\r\n auto-replied')],
  ['without the field', 'unencrypted', report({ fields: '' })],
  ['an empty field', 'unencrypted', autoSubmitted('')],
  ['a field of blanks', 'unencrypted', autoSubmitted(' \t\r\n \r\n\t')],
  ['another local part', 'unencrypted', reportFrom('postmaster@two.test')],
  ['one that begins so', 'unencrypted', reportFrom('mailer-daemon1@two.test')],
  ['one that ends so', 'unencrypted', reportFrom('x.mailer-daemon@two.test')],
  ['one with a tag', 'unencrypted', reportFrom('mailer-daemon+x@two.test')],
  ['a letter that folds to one of ASCII', 'unencrypted', reportFrom('mailer-dae\xe2\x84\xb4on@two.test')],
  ['a domain of that name', 'unencrypted', reportFrom('me@mailer-daemon')],
  ['a name of that kind', 'unencrypted', reportFrom('mailer-daemon <me@two.test>')],
  ['two From fields', 'unencrypted', report({ from: 'From: mailer-daemon@two.test\r\nFrom: me@two.test\r\n' })],
  ['no From', 'unencrypted', report({ from: '' })],
  ['capitals in the type', 'mailer-daemon', report({ type: 'MULTIPART/REPORT; boundary=b' })],
  ['another report type', 'mailer-daemon', report({ type: 'multipart/report; report-type=x; boundary=b' })],
  ['a mixed one', 'unencrypted', report({ type: 'multipart/mixed; boundary=b' })],
  ['a text', 'unencrypted', report({ type: 'text/report' })],
  ['two types', 'unencrypted', report({ type: 'multipart/report; boundary=b\r\nContent-Type: multipart/report' })],
  ['no type', 'unencrypted', report().replace(/Content-Type: .*\r\n/, '')],
];

function withArmor(headers: readonly string[]): string {
  return encryptedMail({ second: armorPart(armored(pkesk + seipd, { headers })) });
}

test('kinds, cut at every offset', async t => {
  for (const [name, kind, text] of kinds) {
    await t.test(`${name}: ${kind}`, () => {
      const found = text === '' ? contentOf('') : readInAllCuts(text, pieces => incomingContent(scan(pieces)));
      assert.equal(found.kind, kind);
      assert.equal(found.detail === '', kind === 'encrypted');
    });
  }
});

test('the author is the one in From, as written, whatever the kind', () => {
  for (const [field, author] of [
    ['From: me@two.test\r\n', 'me@two.test'],
    ['From: Me (x) <ME@Two.test>\r\n', 'ME@Two.test'],
    ['From: a@two.test, b@two.test\r\n', null],
    ['From: us: a@two.test;\r\n', null],
    ['From: a@two.test\r\nFrom: b@two.test\r\n', null],
    ['Sender: a@two.test\r\n', null],
  ] as const) {
    assert.equal(contentOf(encryptedMail({ header: field })).author, author);
    assert.equal(contentOf(`${field}\r\nHello\r\n`).author, author);
  }
});

describe('who may get it', () => {
  const path = (address: string) => ({ address, parameters: new Map<string, string | null>() });
  const enforces = (address: string) => address.startsWith('vic');
  const cases: [to: string[], readable: boolean][] = [
    [['free@one.test'], true],
    [['free@one.test', 'other@one.test'], true],
    [['vic@one.test'], false],
    [['free@one.test', 'vic@one.test'], false],
    [['vic@one.test', 'free@one.test'], false],
    [[...Array(999).fill('free@one.test'), 'vic@one.test'], false],
  ];
  for (const [to, readable] of cases) {
    test(`${to.slice(-2).join(' and ')} of ${to.length}`, () => {
      for (const kind of ['encrypted', 'securejoin', 'mailer-daemon', 'unencrypted'] as const) {
        const content = { kind, author: 'me@two.test', detail: '' };
        assert.equal(mayArrive(content, to.map(path), enforces), kind !== 'unencrypted' || readable, kind);
      }
    });
  }

  test('nobody is looked up who need not be', () => {
    for (const kind of ['encrypted', 'securejoin', 'mailer-daemon'] as const) {
      mayArrive({ kind, author: 'me@two.test', detail: '' }, [path('vic@one.test')], () => assert.fail('looked up'));
    }
  });
});
