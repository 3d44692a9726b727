// The outgoing mode's decisions, with a clock and a next hop that do as they are told.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import type { Mail, Reinjector, ReinjectResult } from '../../src/deliver/reinject.ts';
import type { Recipient } from '../../src/message/envelope.ts';
import { MessageScanner } from '../../src/message/scanner.ts';
import { Outgoing } from '../../src/modes/outgoing.ts';
import { readSettings } from '../../src/settings/settings.ts';
import type { Mailboxes, Presence } from '../../src/system/mailboxes.ts';
import { SpoolStore } from '../../src/system/spool.ts';
import { bareReply, describeReply, type Reply, reply } from '../../src/wire/reply.ts';
import { encryptedMail } from '../message/samples.ts';
import { recordedLog } from '../system/recorded-log.ts';

const directory = mkdtempSync(join(tmpdir(), 'filtermail-outgoing-'));
after(() => rmSync(directory, { recursive: true }));

let now: number;
let logged: string[];
let delivered: Mail[];
let result: ReinjectResult;
let markers: Map<string, Presence>;

beforeEach(() => {
  now = 5000;
  logged = [];
  delivered = [];
  markers = new Map();
  result = { answer: reply(250, '0.0', 'Ok: queued as 42'), failure: null };
});

const log = recordedLog(line => void logged.push(line));
const mailboxes: Mailboxes = {
  disabled: address => markers.get(`${address} DISABLED`) ?? 'absent',
  enforcesEncryption: () => assert.fail('of no matter for outgoing mail'),
};
const reinjector = {
  deliver: (mail: Mail) => {
    delivered.push(mail);
    return Promise.resolve(result);
  },
} as unknown as Reinjector;

function outgoing(keys = ''): Outgoing {
  const { settings } = readSettings(`[params]\nmail_domain = one.test\n${keys}`, {});
  assert.ok(settings);
  return new Outgoing(settings, { clock: () => now, log, mailboxes, reinjector });
}

const path = (address: string, ...parameters: [string, string][]): Recipient => ({
  address,
  parameters: new Map(parameters),
});

async function send(
  mode: Outgoing,
  recipients: readonly Recipient[],
  text = encryptedMail(),
  gone = new AbortController().signal,
): Promise<Reply> {
  const scanner = new MessageScanner();
  scanner.feed(text);
  const content = new SpoolStore(directory).open();
  content.append(Buffer.from(text, 'latin1'));
  await content.seal(text.length);
  const envelope = { from: path('me@one.test'), recipients, xforward: [] };
  return await mode.message({ envelope, evidence: scanner.end(), content, deadline: 1234, gone });
}

describe('the rate', () => {
  const ask = (mode: Outgoing, address = 'me@one.test') => {
    const answer = mode.sender(path(address));
    return answer === null ? null : describeReply(answer);
  };
  const over = (seconds: number) => `450 4.7.1: Too much mail from <me@one.test>, retry in ${seconds} s`;

  test('defaults: ten at once, then one a second', () => {
    const mode = outgoing();
    for (let count = 0; count < 10; count++) assert.equal(ask(mode), null);
    assert.equal(ask(mode), over(1));
    now += 999;
    assert.equal(ask(mode), over(1));
    now += 1;
    assert.equal(ask(mode), null);
    assert.equal(ask(mode), over(1));
    now += 60_000;
    for (let count = 0; count < 10; count++) assert.equal(ask(mode), null);
    assert.equal(ask(mode), over(1));
  });

  test('one a minute: the seconds are those until the next one', () => {
    const mode = outgoing('max_user_send_per_minute = 1\nmax_user_send_burst_size = 1\n');
    assert.equal(ask(mode), null);
    assert.equal(ask(mode), over(60));
    now += 20_500;
    assert.equal(ask(mode), over(40));
    now += 39_499;
    assert.equal(ask(mode), over(1));
    now += 1;
    assert.equal(ask(mode), null);
  });

  test('each sender on its own, in whatever case; ASCII letters only', () => {
    const mode = outgoing('max_user_send_burst_size = 1\n');
    assert.equal(ask(mode, 'me@one.test'), null);
    assert.match(ask(mode, 'ME@one.TEST') ?? '', /^450 /);
    assert.equal(ask(mode, 'you@one.test'), null);
    assert.equal(ask(mode, '\xc3\xa4@one.test'), null);
    assert.equal(ask(mode, '\xc3\x84@one.test'), null, 'another letter, not another case of it');
  });

  test('who is no sender is not counted', () => {
    const mode = outgoing('max_user_send_burst_size = 1\n');
    for (let count = 0; count < 3; count++) assert.match(ask(mode, '"me"@one.test') ?? '', /^500 5\.1\.7 /);
    assert.equal(ask(mode), null);
  });
});

describe('what the next hop is asked to do', () => {
  test('the envelope as it came, the content, the deadline, and the way to know that the client has gone', async () => {
    const { signal } = new AbortController();
    const recipients = [path('bob@two.test', ['NOTIFY', 'NEVER']), path('Bob@two.test'), path('bob@two.test')];
    const answer = await send(outgoing(), recipients, encryptedMail(), signal);
    assert.equal(describeReply(answer), '250 2.0.0 Ok: queued as 42');
    const [mail, ...more] = delivered;
    assert.deepEqual([mail?.envelope.recipients, mail?.deadline, more], [recipients, 1234, []]);
    assert.equal(mail?.gone, signal);
    assert.deepEqual(logged, ['INFO Outgoing: Filtering encrypted mail.']);
  });

  for (const answer of [reply(550, '1.1', 'Unknown'), reply(451, '3.2', 'Later'), bareReply(554, 'a', 'b')]) {
    test(`its answer is ours: ${describeReply(answer)}`, async () => {
      result = { answer, failure: 'Postfix said so\nERROR x' };
      assert.equal(await send(outgoing(), [path('bob@two.test')]), answer);
      assert.equal(logged.length, 2);
      assert.match(logged[1] ?? '', /^WARN .*me@one\.test.*Postfix said so/);
      assert.doesNotMatch(logged[1] ?? '', /\n/);
    });
  }
});

describe('DISABLED', () => {
  const bob = path('bob@two.test');

  test('recipients are taken out, the others keep order and parameters', async () => {
    markers.set('vic@one.test DISABLED', 'present');
    const carol = path('carol@one.test', ['ORCPT', 'rfc822;c']);
    await send(outgoing(), [bob, path('vic@one.test'), carol]);
    assert.deepEqual(delivered[0]?.envelope.recipients, [bob, carol]);
    assert.equal(logged.filter(text => text.startsWith('WARN ')).length, 1);
  });

  for (const who of ['me@one.test', 'vic@one.test']) {
    test(`${who} is, and nothing is left: 250, nothing goes out`, async () => {
      markers.set(`${who} DISABLED`, 'present');
      assert.equal((await send(outgoing(), [path('vic@one.test')])).code, 250);
      assert.deepEqual(delivered, []);
      assert.equal(logged.filter(text => text.startsWith('WARN ')).length, 1);
    });
  }

  test('one that cannot be looked up is kept, and the admin is told', async () => {
    markers.set('vic@one.test DISABLED', { unknown: 'EACCES: permission denied' });
    await send(outgoing(), [path('vic@one.test')]);
    assert.equal(delivered.length, 1);
    assert.equal(logged.filter(text => /^WARN .*vic@one\.test.*EACCES/.test(text)).length, 1);
  });

  test('the other marker means nothing here', async () => {
    markers.set('vic@one.test enforceE2EEincoming', 'present');
    await send(outgoing(), [path('vic@one.test')]);
    assert.equal(delivered.length, 1);
  });

  test('a refusal comes first', async () => {
    markers.set('me@one.test DISABLED', 'present');
    const answer = await send(outgoing(), [bob], 'From: me@one.test\r\n\r\nHello\r\n');
    assert.equal(describeReply(answer), '523 Encryption Needed: Invalid Unencrypted Mail');
  });
});

test('without passthrough keys nobody passes: an empty list is no domain and no address', async () => {
  for (const keys of ['', 'passthrough_recipients =\npassthrough_senders =\n', 'passthrough_recipients = @\n']) {
    if (readSettings(`[params]\nmail_domain = one.test\n${keys}`, {}).problems) continue;
    for (const to of ['bob@two.test', 'bob', '']) {
      assert.equal((await send(outgoing(keys), [path(to)], 'From: me@one.test\r\n\r\nHello\r\n')).code, 523);
    }
  }
  assert.deepEqual(delivered, []);
});
