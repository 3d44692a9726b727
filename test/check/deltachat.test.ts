import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSecurejoinRequest, whyUnencrypted } from '../../src/check/encryption.ts';
import { judgeOutgoing } from '../../src/check/outgoing.ts';
import { piecesOf } from '../message/cuts.ts';
import { scan } from '../message/scan.ts';
import { type CorpusMessage, readCorpus } from './corpus.ts';
import { encryptedOnly, forged, type Mutation, structural } from './mutations.ts';

const none = { senders: [], recipients: [] };
const corpus = readCorpus();

/** On which grounds the message passes, `null` when it does not. */
function grounds({ direction, envelope }: CorpusMessage, pieces: readonly string[]): string | null {
  const evidence = scan(pieces);
  if (evidence.defect !== null) return null;
  if (direction === 'outgoing') {
    const { outcome } = judgeOutgoing(envelope, evidence, none);
    return 'accepted' in outcome ? outcome.accepted : null;
  }
  if (whyUnencrypted(evidence, direction) === null) return 'encrypted';
  return isSecurejoinRequest(evidence) ? 'securejoin' : null;
}

const expected = {
  encrypted: 'encrypted',
  securejoin: 'securejoin',
  'autocrypt-setup': 'exempt',
  'mailer-daemon': null,
  cleartext: null,
} as const;

test('every message has its class', async t => {
  assert.equal(corpus.length, 71);
  for (const message of corpus) {
    const { name, mail } = message;
    if (mail === null) {
      await t.test(name, { skip: 'absent: over 500 kB, only in ../shared/corpus' }, () => undefined);
      continue;
    }
    await t.test(name, () => {
      assert.equal(grounds(message, [mail]), expected[message.class]);
      for (const size of [1, 7, 1000]) {
        if (mail.length / size < 100_000)
          assert.deepEqual(scan(piecesOf(mail, size)), scan([mail]), `in pieces of ${size}`);
      }
    });
  }
});

function mutationsOf({ class: kind, direction }: CorpusMessage): readonly Mutation[] {
  const anyClass = direction === 'outgoing' ? forged : [];
  if (kind === 'encrypted') return [...structural, ...encryptedOnly, ...anyClass];
  if (kind === 'securejoin') return [...structural, ...securejoinOnly, ...anyClass];
  return [];
}

const securejoinOnly: readonly Mutation[] = [
  ['no Secure-Join', mail => mail.replace('\r\nSecure-Join: ', '\r\nX-Secure-Join: ')],
  ['another step', mail => mail.replace('\r\nSecure-Join: vc-request', '\r\nSecure-Join: vc-contact-confirm')],
  ['a second Secure-Join', mail => `Secure-Join: vc-request\r\n${mail}`],
  [
    'text behind the step',
    mail => mail.replace('Secure-Join: vc-request\r\n--', 'Secure-Join: vc-request readable\r\n--'),
  ],
  ['another text', mail => mail.replace('Secure-Join: vc-request\r\n--', 'readable\r\n--')],
];

test('every message is refused once it is mutated', async t => {
  for (const message of corpus) {
    const { name, mail } = message;
    const mutations = mutationsOf(message);
    if (mail === null || mutations.length === 0) continue;
    await t.test(name, () => {
      let changes = 0;
      for (const [mutation, change] of mutations) {
        const mutated = change(mail);
        if (mutated === mail) continue;
        changes++;
        assert.equal(grounds(message, [mutated]), null, mutation);
        assert.equal(grounds(message, piecesOf(mutated, 997)), null, `${mutation}, in pieces`);
      }
      assert.ok(changes >= 20, `${changes} mutations changed the message`);
    });
  }
});

test('every mutation changes some message', () => {
  const all = [...structural, ...encryptedOnly, ...forged, ...securejoinOnly];
  const idle = all.filter(([, change]) => !corpus.some(({ mail }) => mail !== null && change(mail) !== mail));
  assert.deepEqual(
    idle.map(([mutation]) => mutation),
    [],
  );
});

const setupMutations: readonly Mutation[] = [
  ...forged,
  ['another subject', mail => mail.replace('Subject: Autocrypt', 'Subject: Hello, Autocrypt')],
  ['no subject', mail => mail.replace('\r\nSubject:', '\r\nX-Subject:')],
  ['two subjects', mail => `Subject: Autocrypt Setup Message\r\n${mail}`],
  ['multipart/alternative', mail => mail.replace('multipart/mixed', 'multipart/alternative')],
  ['text/plain', mail => mail.replace('multipart/mixed', 'text/plain')],
  ['two Content-Type fields', mail => `Content-Type: multipart/mixed; boundary=b\r\n${mail}`],
];

test('an Autocrypt Setup Message is refused once it is mutated or goes to somebody else', () => {
  const setup = corpus.find(message => message.class === 'autocrypt-setup');
  assert.ok(setup?.mail);
  for (const [mutation, change] of setupMutations) {
    assert.notEqual(change(setup.mail), setup.mail, mutation);
    assert.equal(grounds(setup, [change(setup.mail)]), null, mutation);
  }
  const [self] = setup.envelope.recipients;
  assert.ok(self);
  const vic = { ...self, address: 'vic@two.test' };
  for (const recipients of [[vic], [self, vic], [self, self]])
    assert.equal(grounds({ ...setup, envelope: { ...setup.envelope, recipients } }, [setup.mail]), null);
});
