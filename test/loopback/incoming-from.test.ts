// The From field of mail from elsewhere: who the reader sees must be who signed.

import { before, describe, test } from 'node:test';
import { encryptedMail } from '../message/samples.ts';
import { entrances, http } from './entrances.ts';
import {
  type Expected,
  encryptedLine,
  Gate,
  invalidFrom,
  noSignature,
  noValidSignature,
  passed,
  play,
  reportLine,
} from './incoming-gate.ts';
import { author, letter, me, reportText, sealedBy, signed, vic } from './incoming-mail.ts';

const two = author('two.test');
const octets = (text: string) => Buffer.from(text).toString('latin1');
const umlauts = author(octets('mü.test'));
const punycode = author('xn--m-eha.test');
const subject = 'Subject: [...]\r\n';

let gate: Gate;
const open = () => gate;

before(async () => {
  gate = await Gate.open([two, punycode, author('three.test')]);
  // Published under the A-label, which is what DNS knows.
  gate.dns.txt('s1._domainkey.xn--m-eha.test', [umlauts.record]);
  gate.dns.txt('s2._domainkey.xn--m-eha.test', [punycode.record]);
});

const passes = (from = '', to = vic): Expected => ({
  reply: passed,
  log: [encryptedLine],
  envelope: [`MAIL FROM:<${from}>`, `RCPT TO:<${to}>`],
});
const noAuthor: Expected = {
  reply: invalidFrom,
  log: [encryptedLine, 'WARN Incoming: refused mail: no From field with exactly one address'],
};
const refused = (reply: string, from: string | RegExp = me): Expected => {
  const shown = typeof from === 'string' ? from.replaceAll(/[[\]\\.]/g, '\\$&') : from.source;
  const verdict = reply.slice(reply.indexOf('No'));
  return {
    reply,
    log: [encryptedLine, new RegExp(`^WARN Incoming: refused mail from ${shown}: ${verdict};.* kept as /.*\\.eml$`)],
  };
};
const sealedFrom = (from: string, envelope = {}) => letter(sealedBy(two, `${from}\r\n${subject}`), envelope);

describe('one address, which its domain signed', () => {
  for (const [name, field, from] of [
    ['bare', `From: ${me}`, me],
    ['with a name', `From: Me <${me}>`, me],
    ['with a quoted name that is another address', `From: "eve@three.test" <${me}>`, me],
    ['with an encoded word that is another address', `From: =?utf-8?q?eve=40three=2Etest?= <${me}>`, me],
    ['with an encoded word that has brackets', `From: =?utf-8?q?=3Ceve=40three=2Etest=3E?= <${me}>`, me],
    ['with a comment that is another address', `From: (eve@three.test) ${me} (<eve@three.test>)`, me],
    ['with a comment in the address', 'From: me(eve@)@two.test', me],
    ['folded', `From: Me\r\n\t<${me}>`, me],
    ['in capitals', 'FROM: <ME@TWO.TEST>', 'ME@TWO.TEST'],
    ['with a blank before the colon', `From : <${me}>`, me],
    ['with a name in UTF-8', `From: ${octets('Jürgen')} <${me}>`, me],
    ['with dots in the name', `From: J. R. <${me}>`, me],
  ] as const) {
    play(open, name, () => sealedFrom(field, { from }), passes(from));
  }

  for (const header of ['simple', 'relaxed'] as const) {
    play(
      open,
      `a blank before the colon, ${header} header`,
      () => letter(sealedBy(two, `From \t: <${me}>\r\n${subject}`, { header })),
      passes(me),
    );
  }
});

describe('no single address', () => {
  for (const [name, fields] of [
    ['no field', 'X-From: <me@two.test>'],
    ['an empty field', 'From:'],
    ['only a name', 'From: Me'],
    ['two addresses', `From: <${me}>, <eve@three.test>`],
    ['two addresses, the same', `From: <${me}>, <${me}>`],
    ['two addresses, folded', `From: <${me}>,\r\n <eve@three.test>`],
    ['a group', `From: us: <${me}>;`],
    ['an empty group', 'From: undisclosed:;'],
    ['a route', `From: <@three.test:${me}>`],
    ['two fields, the first signed', `From: <${me}>\r\nFrom: <eve@three.test>`],
    ['two fields, the last signed', `From: <eve@three.test>\r\nFrom: <${me}>`],
    ['two equal fields', `From: <${me}>\r\nFrom: <${me}>`],
    ['two fields, one with a blank before the colon', `From: <${me}>\r\nFrom : <eve@three.test>`],
    ['two fields in different cases', `FROM: <eve@three.test>\r\nfrom: <${me}>`],
    ['an unquoted address as a name', `From: eve@three.test <${me}>`],
    ['the null sender', 'From: <>'],
    ['an address that is an encoded word', 'From: =?utf-8?q?me=40two.test?='],
    ['brackets behind brackets', `From: <${me}> <eve@three.test>`],
    ['a semicolon between two', `From: ${me}; eve@three.test`],
    ['a blank in the domain', 'From: <me@two. test.three>>'],
  ] as const) {
    play(open, name, () => sealedFrom(fields), noAuthor);
  }

  play(
    open,
    'a second From on top of what was signed',
    () => {
      const message = sealedBy(two);
      return letter(`From: <eve@three.test>\r\n${message}`);
    },
    noAuthor,
  );
});

describe('the domain of From and that of the signature', () => {
  for (const [name, from, domain] of [
    ['capitals in From', 'me@TWO.Test', 'two.test'],
    ['capitals in d=', me, 'TWO.Test'],
    ['capitals in both', 'me@Two.test', 'tWO.test'],
  ] as const) {
    play(open, name, () => letter(sealedBy(two, `From: <${from}>\r\n${subject}`, { domain }), { from }), passes(from));
  }
  for (const [name, from, expected] of [
    ['a subdomain in From', 'me@mail.two.test', noValidSignature],
    ['another domain that ends so', 'me@xtwo.test', noValidSignature],
    ['another domain', 'me@three.test', noValidSignature],
    ['a letter that folds to ASCII elsewhere', 'me@two.te\xc5\xbft', noValidSignature],
  ] as const) {
    play(open, name, () => sealedFrom(`From: <${from}>`), refused(expected, /\S+/));
  }
  play(open, 'a subdomain in d=', () => letter(sealedBy(author('mail.two.test'))), refused(noValidSignature));
  play(open, 'a domain in quotes', () => sealedFrom('From: <"me@two.test>"@three.test>'), {
    reply: invalidFrom,
    log: [encryptedLine, /^WARN /],
  });

  const utf8 = octets('jürgen@mü.test');
  const shown = /"j\\xc3\\xbcrgen@m\\xc3\\xbc\.test"/;
  for (const entrance of entrances) {
    test(`U-labels in From and in d=, the key under the A-label, over ${entrance.name}`, async () => {
      const mail = letter(sealedBy(umlauts, `From: <${utf8}>\r\n${subject}`), { from: utf8 });
      // HTTP has no parameters: there the addresses tell that they need this one.
      const sender = `MAIL FROM:<${utf8}>${entrance === http ? ' SMTPUTF8' : ''}`;
      const expected = { reply: passed, log: [encryptedLine], envelope: [sender, `RCPT TO:<${vic}>`] };
      await gate.expects(entrance, mail, expected);
    });
  }
  play(
    open,
    'A-labels in both',
    () => letter(sealedBy({ ...punycode, selector: 's2' }, `From: <me@xn--m-eha.test>\r\n${subject}`)),
    passes(),
  );
  play(
    open,
    'U-label in From, A-label in d=: not the same octets',
    () => letter(sealedBy({ ...punycode, selector: 's2' }, `From: <${utf8}>\r\n${subject}`)),
    refused(noValidSignature, shown),
  );
  play(
    open,
    'the same octets as Latin-1: no name',
    () => letter(sealedBy({ ...umlauts, domain: 'm\xfc.test' }, `From: <me@m\xfc.test>\r\n${subject}`)),
    refused(noValidSignature, /"me@m\\xfc\.test"/),
  );
  play(
    open,
    'a capital umlaut is another name',
    () => {
      const domain = octets('MÜ.test');
      return letter(sealedBy({ ...umlauts, domain }, `From: <me@${domain}>\r\n${subject}`));
    },
    refused(noValidSignature, /"me@M\\xc3\\x9c\.test"/),
  );
  play(open, 'a local part in UTF-8', () => sealedFrom(`From: <${octets('jürgen')}@two.test>`), passes());
});

describe('address literals', () => {
  const unsigned = (from: string) => letter(encryptedMail({ header: `From: <${from}>\r\n${subject}` }), { from });

  for (const from of ['me@[192.0.2.1]', 'me@[127.0.0.1]', 'me@[IPv6:2001:db8::1]', 'me@[ipv6:::1]']) {
    play(open, `${from} needs no signature`, () => unsigned(from), passes(from));
  }
  play(open, 'a mailer-daemon there', () => letter(reportText({ from: 'mailer-daemon@[192.0.2.1]' }), { from: '' }), {
    reply: passed,
    log: [reportLine('mailer-daemon@[192.0.2.1]')],
    envelope: ['MAIL FROM:<>', `RCPT TO:<${vic}>`],
  });
  for (const from of [
    'me@[abc]',
    'me@[999.1.1.1]',
    'me@[1.2.3]',
    'me@[1.2.3.4.5]',
    'me@[01.2.3.4]',
    'me@[two.test]',
    'me@[IPv6:two.test]',
    'me@[IPv6:....]',
    'me@[IPv6:12345::1]',
    'me@[2001:db8::1]',
    'me@192.0.2.1',
  ]) {
    play(open, `${from} is none`, () => unsigned(from), refused(noSignature, from));
  }
  play(
    open,
    'a signature of such a literal is none',
    () => letter(signed({ ...two, domain: '[abc]' }, sealedBy(two, `From: <me@[abc]>\r\n${subject}`))),
    refused(noValidSignature, 'me@[abc]'),
  );
  for (const from of ['me@[]', 'me@[192.0.2.1', 'me@[192.0.2.1] x', 'me@[192.0.2.1"]', 'me@[192.0.2.1]two.test']) {
    play(open, `${from} is no address`, () => ({ ...unsigned(from), from: '' }), noAuthor);
  }
});

test('its log is one, and it ends well', () => gate.stop());
