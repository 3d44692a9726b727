/**
 * A signer that writes any DKIM-Signature field it is told to: the tags and all that stands between them are given. What it signs is
 * canonicalized by mailauth, so that nothing depends on the code under test.
 */
import { createHash, sign } from 'node:crypto';
import { bodyHash, signedText } from './oracle.ts';
import { rsa, type TestKey } from './test-keys.ts';
import type { Zone } from './verify.ts';

/** One tag as it is written: `before name equals value after`, without the semicolon. */
export type WrittenTag = Readonly<{ name: string; value: string; before: string; equals: string; after: string }>;

export type Order = Readonly<{
  /** Lines with their CRLFs, without the blank line. */
  header: string;
  body: string;
  key: TestKey;
  /** What stands before the first tag: name, blanks, colon. */
  fieldName: string;
  tags: readonly WrittenTag[];
  /** What follows the last tag. */
  end: string;
  /** What is really done, whatever a=, c=, h= and l= say. */
  signedFields: string;
  headerForm: string;
  bodyForm: string;
  length: number | null;
  /** Folds base64. */
  fold: (base64: string) => string;
}>;

/** The DKIM-Signature field with its CRLF, meant for the top of the header; the values of bh= and b= are put in. */
export function signatureField(order: Order): string {
  const { header, body, key, fieldName, tags, end, signedFields, headerForm, bodyForm, length, fold } = order;
  const { hash } = bodyHash(body, bodyForm, length);
  const write = (signature: string) =>
    fieldName +
    tags
      .map(({ name, value, before, equals, after }) => {
        const content = name === 'bh' ? value.replace('*', () => fold(hash)) : value;
        return `${before}${name}${equals}${name === 'b' ? content.replace('*', () => signature) : content}${after}`;
      })
      .join(';') +
    end;
  const text = signedText(header, write(''), signedFields, headerForm);
  const signature =
    key.name === 'rsa'
      ? sign('sha256', text, key.privateKey)
      : sign(null, createHash('sha256').update(text).digest(), key.privateKey);
  return `${write(fold(signature.toString('base64')))}\r\n`;
}

export const domain = 'example.org';
export const now = 1_750_000_000;

export const zoneOf = (record: string | readonly string[], name = `s1._domainkey.${domain}`): Zone => ({
  [name]: [typeof record === 'string' ? [record] : record],
});

type Plain = Readonly<{
  header: string;
  body: string;
  key: TestKey;
  /** Tags in place of the usual ones; null leaves one out. */
  tags: Readonly<Record<string, string | null>>;
  /** Fields that are really signed, and the forms really used, where they are not what the tags say. */
  signs: Partial<Pick<Order, 'signedFields' | 'headerForm' | 'bodyForm' | 'length' | 'fold'>>;
}>;

/** A message with one signature of a usual form, or of a form changed in few places. */
export function signedMessage(changes: Partial<Plain> = {}): string {
  const { key = rsa, tags = {}, body = 'Hi.\r\n' } = changes;
  const header = changes.header ?? `From: A <a@${domain}>\r\nTo: b@example.net\r\nSubject: plain\r\n`;
  const usual = {
    v: '1',
    a: `${key.name}-sha256`,
    c: 'relaxed/relaxed',
    d: domain,
    s: 's1',
    h: 'from:to',
    bh: '*',
    b: '*',
  };
  const wanted: Record<string, string | null> = { ...usual, ...tags };
  const [headerForm, bodyForm] = (wanted.c ?? '')
    .split('/')
    .map(form => (/^relaxed$/i.test(form) ? 'relaxed' : 'simple'));
  const field = signatureField({
    header,
    body,
    key,
    fieldName: 'DKIM-Signature:',
    tags: Object.entries(wanted).flatMap(([name, value]) =>
      value === null ? [] : [{ name, value, before: ' ', equals: '=', after: '' }],
    ),
    end: '',
    signedFields: (wanted.h ?? '').replace(/[ \t\r\n]/g, ''),
    headerForm: headerForm ?? 'simple',
    bodyForm: bodyForm ?? 'simple',
    length: null,
    fold: text => text,
    ...changes.signs,
  });
  return `${field}${header}\r\n${body}`;
}
