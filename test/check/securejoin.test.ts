import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSecurejoinRequest, whyUnencrypted } from '../../src/check/encryption.ts';
import { readInAllCuts } from '../message/cuts.ts';
import { securejoinMail } from '../message/samples.ts';
import { scan } from '../message/scan.ts';

type Change = NonNullable<Parameters<typeof securejoinMail>[0]>;
const text = (body: string, header = ''): Change => ({ parts: [`Content-Type: text/plain\r\n${header}\r\n${body}`] });

const requests: [name: string, change: Change][] = [
  ['vc-request', {}],
  ['vg-request', { fields: 'Secure-Join: vg-request\r\n', ...text('Secure-Join: vg-request') }],
  ['any case of the text', text('SECURE-JOIN: VC-Request')],
  ['blanks around the text', text(' \r\n\r\n\tsecure-join: vc-request \r\n\r\n')],
  ['base64', text('U2VjdXJlLUpvaW46IHZjLXJlcXVlc3Q=', 'Content-Transfer-Encoding: base64\r\n')],
  ['quoted-printable', text('Secure=2DJoin: vc=\r\n-request', 'Content-Transfer-Encoding: quoted-printable\r\n')],
  ['a folded field', { fields: 'Secure-Join:\r\n vc-request\r\n' }],
  ['a blank before the colon', { fields: 'Secure-Join : vc-request\r\n' }],
  ['other fields that begin so', { fields: 'Secure-Join: vc-request\r\nSecure-Join-Invitenumber: abc\r\n' }],
  ['multipart/alternative', { type: 'Multipart/Alternative' }],
  ['a blank line behind', { tail: '\r\n' }],
  // RFC 2045 5.2: no Content-Type means text/plain.
  ['no type', { parts: ['\r\nSecure-Join: vc-request'] }],
];

const others: [name: string, change: Change][] = [
  ['no field', { fields: '' }],
  ['another step', { fields: 'Secure-Join: vc-auth-required\r\n' }],
  ['the field in capitals', { fields: 'Secure-Join: VC-Request\r\n' }],
  ['text behind the field', { fields: 'Secure-Join: vc-request x\r\n' }],
  ['a comment in the field', { fields: 'Secure-Join: vc-request (x)\r\n' }],
  ['a no-break space in the field', { fields: 'Secure-Join:\xa0vc-request\r\n' }],
  ['two fields', { fields: 'Secure-Join: vc-request\r\nSecure-Join: vg-request\r\n' }],
  ['two equal fields', { fields: 'Secure-Join: vc-request\r\nsecure-join : vc-request\r\n' }],
  ['the field in the part only', { fields: '', ...text('secure-join: vc-request', 'Secure-Join: vc-request\r\n') }],
  ['no multipart', { type: 'text/plain' }],
  ['two parts', { parts: ['\r\nSecure-Join: vc-request', '\r\nSecure-Join: vc-request'] }],
  ['a second, empty part', { parts: ['\r\nSecure-Join: vc-request', '\r\n'] }],
  ['no part', { parts: [] }],
  ['HTML', { parts: ['Content-Type: text/html\r\n\r\nSecure-Join: vc-request'] }],
  ['a multipart within', { parts: ['Content-Type: multipart/mixed; boundary=c\r\n\r\nSecure-Join: vc-request'] }],
  ['two types', { parts: ['Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nSecure-Join: vc-request'] }],
  ['another text', text('Hello, this is readable')],
  ['text behind', text('Secure-Join: vc-request\r\nreadable')],
  ['text before', text('readable\r\nSecure-Join: vc-request')],
  ['text on the line', text('Secure-Join: vc-request readable')],
  ['another step in the text', text('Secure-Join: vc-auth-required')],
  ['no blank in the text', text('Secure-Join:vc-request')],
  ['a no-break space around the text', text('Secure-Join: vc-request\xa0')],
  ['nothing', text('')],
  ['2000 blank lines before the text', text(`${'\r\n'.repeat(2000)}Secure-Join: vc-request`)],
  ['an unknown encoding', text('Secure-Join: vc-request', 'Content-Transfer-Encoding: x\r\n')],
  ['base64 of something else', text('Secure-Join: vc-request', 'Content-Transfer-Encoding: base64\r\n')],
  ['text behind the last delimiter', { tail: 'readable\r\n' }],
  ['no boundary', { type: 'multipart/mixed; x' }],
];

function judge(mail: string): { securejoin: boolean; encrypted: boolean } {
  return readInAllCuts(mail, pieces => {
    const evidence = scan(pieces);
    return { securejoin: isSecurejoinRequest(evidence), encrypted: whyUnencrypted(evidence, 'incoming') === null };
  });
}

test('securejoin requests, cut at every offset', async t => {
  for (const [name, change] of requests) {
    await t.test(name, () => assert.deepEqual(judge(securejoinMail(change)), { securejoin: true, encrypted: false }));
  }
});

test('anything else, cut at every offset', async t => {
  for (const [name, change] of others) {
    await t.test(name, () => assert.deepEqual(judge(securejoinMail(change)), { securejoin: false, encrypted: false }));
  }
});

test('text before the first delimiter, which other clients may write around encrypted parts', () => {
  const mail = securejoinMail().replace('\r\n\r\n--b', '\r\n\r\nreadable\r\n--b');
  assert.deepEqual(judge(mail), { securejoin: false, encrypted: false });
});

test('the step of the field and of the text need not be the same', () => {
  assert.ok(judge(securejoinMail(text('Secure-Join: vg-request'))).securejoin);
});

test('cut off anywhere it is no request', () => {
  const mail = securejoinMail();
  for (let at = 0; at < mail.length; at++) assert.ok(!isSecurejoinRequest(scan([mail.slice(0, at)])), `at ${at}`);
});
