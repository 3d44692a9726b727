import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeOutgoing, type OutgoingGrounds, type OutgoingRefusal } from '../../src/check/outgoing.ts';
import { readInAllCuts } from '../message/cuts.ts';
import { encryptedMail, securejoinMail } from '../message/samples.ts';
import { scan } from '../message/scan.ts';
import { envelope } from './envelopes.ts';

const none = { senders: [], recipients: [] };
const toVic = envelope('me@one.test', 'vic@two.test');
const from = (field: string) => encryptedMail({ header: field });
const readable = (field: string) => `${field}Subject: x\r\n\r\nreadable\r\n`;

const accepted: [name: string, mail: string, grounds: OutgoingGrounds][] = [
  ['encrypted', encryptedMail(), 'encrypted'],
  ['securejoin', securejoinMail(), 'securejoin'],
  ['From in another case', from('From: "Me" <ME@One.Test>\r\n'), 'encrypted'],
  ['a blank before the colon', from('From : me@one.test\r\n'), 'encrypted'],
  ['a quoted name that claims to be another', from('From: "vic@two.test" <me@one.test>\r\n'), 'encrypted'],
  [
    'another Sender and Reply-To',
    from('Sender: vic@two.test\r\nReply-To: vic@two.test\r\nFrom: me@one.test\r\n'),
    'encrypted',
  ],
];

test('accepted, cut at every offset', async t => {
  for (const [name, mail, grounds] of accepted) {
    await t.test(name, () => {
      const verdict = readInAllCuts(mail, pieces => judgeOutgoing(toVic, scan(pieces), none));
      assert.deepEqual(verdict, { encrypted: true, outcome: { accepted: grounds } });
    });
  }
});

const notTheSender = (author: string): OutgoingRefusal => ({ reason: 'From is not the sender', author });
const noFrom: OutgoingRefusal = { reason: 'no usable From' };

/** Each From field is refused in an encrypted message, a securejoin request, a readable message and by an exempt sender. */
const forged: [name: string, field: string, refusal: OutgoingRefusal][] = [
  ['another author', 'From: vic@two.test\r\n', notTheSender('vic@two.test')],
  ['another author behind a name', 'From: "me@one.test" <vic@two.test>\r\n', notTheSender('vic@two.test')],
  ['another author behind a comment', 'From: (me@one.test) vic@two.test\r\n', notTheSender('vic@two.test')],
  [
    'another author behind an encoded word',
    'From: =?utf-8?q?me=40one.test?= <vic@two.test>\r\n',
    notTheSender('vic@two.test'),
  ],
  ['the address with a tag', 'From: me+x@one.test\r\n', notTheSender('me+x@one.test')],
  ['the address without its dot', 'From: m.e@one.test\r\n', notTheSender('m.e@one.test')],
  ['a no-break space at the address', 'From: \xa0me@one.test\r\n', notTheSender('\xa0me@one.test')],
  ['a subdomain', 'From: me@sub.one.test\r\n', notTheSender('me@sub.one.test')],
  ['an encoded word for an address', 'From: =?utf-8?q?me?=@one.test\r\n', notTheSender('=?utf-8?q?me?=@one.test')],
  ['none', '', noFrom],
  ['an empty one', 'From:\r\n', noFrom],
  ['two fields', 'From: me@one.test\r\nFrom: vic@two.test\r\n', noFrom],
  ['two fields, the other first', 'From: vic@two.test\r\nFrom: me@one.test\r\n', noFrom],
  ['two equal fields', 'From: me@one.test\r\nFrom: me@one.test\r\n', noFrom],
  ['a second field with a blank before the colon', 'From: me@one.test\r\nFrom : vic@two.test\r\n', noFrom],
  ['two addresses', 'From: me@one.test, vic@two.test\r\n', noFrom],
  ['two addresses, folded', 'From: me@one.test,\r\n vic@two.test\r\n', noFrom],
  ['a group', 'From: us: me@one.test;\r\n', noFrom],
  ['an unquoted address for a name', 'From: vic@two.test <me@one.test>\r\n', noFrom],
  ['brackets behind brackets', 'From: <me@one.test> <vic@two.test>\r\n', noFrom],
  ['a route', 'From: <@two.test:me@one.test>\r\n', noFrom],
  ['a dot at the end', 'From: me@one.test.\r\n', noFrom],
  ['the null sender', 'From: <>\r\n', noFrom],
  [
    'a bang path and more tokens than Postfix reads',
    `From: two.test!vic${'\r\n ()()()()'.repeat(2560)} <me@one.test>\r\n`,
    noFrom,
  ],
  ['a line that Postfix breaks', `From:${' '.repeat(992)}me@one.test\r\n`, noFrom],
];

test('From is judged before anything else', async t => {
  const exempt = { senders: ['me@one.test'], recipients: ['@two.test'] };
  for (const [name, field, refused] of forged) {
    await t.test(name, () => {
      assert.deepEqual(
        readInAllCuts(from(field), pieces => judgeOutgoing(toVic, scan(pieces), none)),
        { encrypted: true, outcome: { refused } },
      );
      const securejoin = securejoinMail().replace('From: <me@one.test>\r\n', field);
      assert.deepEqual(judgeOutgoing(toVic, scan([securejoin]), none), { encrypted: true, outcome: { refused } });
      const exempted = judgeOutgoing(toVic, scan([readable(field)]), exempt);
      assert.deepEqual(exempted, { encrypted: false, outcome: { refused } });
    });
  }
});

test('the null sender sends nothing', () => {
  for (const field of ['From: <>\r\n', 'From:\r\n', 'From: me@one.test\r\n', ''])
    assert.ok('refused' in judgeOutgoing(envelope('', 'vic@two.test'), scan([from(field)]), none).outcome, field);
});

test('a readable message needs an exemption', () => {
  const evidence = scan([readable('From: me@one.test\r\n')]);
  const { encrypted, outcome } = judgeOutgoing(toVic, evidence, none);
  assert.equal(encrypted, false);
  assert.ok('refused' in outcome && outcome.refused.reason === 'unencrypted');
  assert.equal(outcome.refused.detail, 'top type is not multipart/encrypted');
  for (const passthrough of [
    { senders: ['me@one.test'], recipients: [] },
    { senders: [], recipients: ['vic@two.test'] },
    { senders: [], recipients: ['@two.test'] },
  ])
    assert.deepEqual(judgeOutgoing(toVic, evidence, passthrough), {
      encrypted: false,
      outcome: { accepted: 'exempt' },
    });
});

test('an encrypted message of an exempt sender is accepted because it is encrypted', () => {
  const verdict = judgeOutgoing(toVic, scan([encryptedMail()]), {
    senders: ['me@one.test'],
    recipients: ['@two.test'],
  });
  assert.deepEqual(verdict, { encrypted: true, outcome: { accepted: 'encrypted' } });
});
