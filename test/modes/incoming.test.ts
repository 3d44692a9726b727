// The incoming mode's decisions, in a world that does as it is told.

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import type { Defect } from '../../src/accept/transaction.ts';
import { parseHeader } from '../../src/message/header.ts';
import { bareReply, describeReply, reply } from '../../src/wire/reply.ts';
import { me, readableText, reportText, sealedBy, signed, vic, zeroes } from '../loopback/incoming-mail.ts';
import { good, path, send, two, unsigned, World } from './incoming-world.ts';

let world: World;
beforeEach(() => {
  world = new World();
});

describe('what the next hop is asked to do', () => {
  test('the envelope as it came, the content, the deadline, and the way to know that the client has gone', async () => {
    const { signal } = new AbortController();
    const recipients = [path('a@one.test', ['NOTIFY', 'NEVER']), path('A@one.test'), path('a@one.test')];
    const answer = await send(world.mode(), good, { recipients, gone: signal });
    assert.equal(answer, '250 2.0.0 Ok: queued as 42');
    const [mail, ...more] = world.delivered;
    assert.deepEqual([mail?.envelope.recipients, mail?.deadline, more], [recipients, 1234, []]);
    assert.deepEqual(mail?.envelope.xforward, [{ name: 'ADDR', value: '192.0.2.1' }]);
    assert.equal(mail?.gone, signal);
    assert.deepEqual(world.logged, ['INFO Incoming: Filtering encrypted mail.']);
  });

  for (const [sender, forwarded] of [
    [me, me],
    ['Me@TWO.test', 'Me@TWO.test'],
    ['', ''],
    ['you@two.test', ''],
    ['"me"@two.test', ''],
    ['me@two.test.', ''],
  ] as const) {
    test(`sender <${sender}>: <${forwarded}>, with its parameters`, async () => {
      await send(world.mode(), good, { from: path(sender, ['RET', 'HDRS'], ['ENVID', 'x']) });
      assert.deepEqual(world.delivered[0]?.envelope.from, path(forwarded, ['RET', 'HDRS'], ['ENVID', 'x']));
    });
  }

  for (const answer of [reply(550, '1.1', 'Unknown'), reply(451, '3.2', 'Later'), bareReply(554, 'a', 'b')]) {
    test(`its answer is ours: ${describeReply(answer)}`, async () => {
      world.result = { answer, failure: 'Postfix said so\nERROR x' };
      assert.equal(await send(world.mode()), describeReply(answer));
      assert.equal(world.logged.length, 2);
      assert.match(
        world.logged[1] ?? '',
        /^WARN Incoming: encrypted mail from me@two\.test was not reinjected: "Postfix said so\\x0aERROR x"$/,
      );
    });
  }
});

describe('one INFO line, whatever the end', () => {
  const broken = sealedBy(two, undefined, { spoil: zeroes });
  const readable = signed(two, readableText());
  for (const [name, text, info, answer] of [
    ['encrypted', good, 'encrypted mail.', /^250 /],
    ['encrypted, unsigned', unsigned, 'encrypted mail.', /^554 5\.7\.1 No DKIM signature found$/],
    ['encrypted, forged', broken, 'encrypted mail.', /^554 5\.7\.1 No valid DKIM signature found$/],
    ['encrypted, without From', unsigned.replace(/^From.*\r\n/, ''), 'encrypted mail.', /^500 5\.6\.0 /],
    ['readable', readable, 'unencrypted mail.', /^523 Encryption Needed: Invalid Unencrypted Mail$/],
    ['a report', signed(two, reportText()), 'mailer-daemon message from <MAILER-DAEMON@two.test>', /^250 /],
    ['a report, unsigned', reportText(), 'mailer-daemon message from <MAILER-DAEMON@two.test>', /^554 /],
  ] as const) {
    test(name, async () => {
      assert.match(await send(world.mode(), text), answer);
      assert.equal(world.logged[0], `INFO Incoming: Filtering ${info}`);
      assert.equal(world.logged.filter(text => text.startsWith('INFO ')).length, 1);
      assert.equal(world.logged.length > 1, !answer.test('250 '), 'every refusal is told');
    });
  }

  test('what is refused for its form, with and without an author', () => {
    const defect: Defect = { reply: reply(550, '6.0', 'Bad'), detail: 'it is bad' };
    const envelope = { from: path(me), recipients: [path(vic)], xforward: [] };
    const header = parseHeader('From: <m"e@two.test>\r\n\r\n');
    assert.ok(typeof header !== 'string');
    for (const fields of [[], header]) world.mode().unusable(envelope, fields, defect);
    world.mode().unusable(envelope, parseHeader('From: me@\xe9.test\r\n') as typeof header, defect);
    assert.deepEqual(world.logged, [
      'INFO Incoming: Filtering unencrypted mail.',
      'WARN Incoming: refused message: 550 5.6.0 Bad (it is bad)',
      'INFO Incoming: Filtering unencrypted mail.',
      'WARN Incoming: refused message: 550 5.6.0 Bad (it is bad)',
      'INFO Incoming: Filtering unencrypted mail.',
      'WARN Incoming: refused message from "me@\\xe9.test": 550 5.6.0 Bad (it is bad)',
    ]);
  });

  test('an author that is foreign text is quoted', async () => {
    const from = 'x\xc3\xa4@two.test';
    await send(world.mode(), readableText(from), { from: path(from) });
    assert.equal(world.logged[1], 'WARN Rejected unencrypted mail from: "x\\xc3\\xa4@two.test"');
  });
});

describe('DISABLED', () => {
  const other = path('other@one.test', ['NOTIFY', 'NEVER']);

  test('recipients are taken out, the others keep order and parameters', async () => {
    world.markers.set(vic, 'present');
    await send(world.mode(), good, { recipients: [other, path(vic), path('third@one.test')] });
    assert.deepEqual(world.delivered[0]?.envelope.recipients, [other, path('third@one.test')]);
    assert.equal(world.logged.filter(text => text.startsWith('WARN ')).length, 1);
  });

  test('nobody left: 250, whatever the message is; no key is looked up and nothing is kept', async () => {
    world.markers.set(vic, 'present');
    world.lookup = () => assert.fail('looked up');
    for (const text of [good, unsigned, readableText()]) assert.equal(await send(world.mode(), text), '250 2.0.0 Ok');
    assert.deepEqual(world.delivered, []);
    assert.throws(() => world.kept(), /ENOENT/);
  });

  test('who is disabled has no say in what the others get', async () => {
    world.markers.set(vic, 'present');
    assert.match(await send(world.mode(), signed(two, readableText()), { recipients: [path(vic), other] }), /^250 /);
    assert.deepEqual(world.delivered[0]?.envelope.recipients, [other]);
  });

  test('the author is of no matter', async () => {
    world.markers.set(me, 'present');
    assert.match(await send(world.mode()), /^250 /);
  });

  test('one that cannot be looked up is kept, and the admin is told', async () => {
    world.markers.set(vic, { unknown: 'EACCES: permission denied' });
    assert.match(await send(world.mode()), /^250 /);
    assert.equal(world.logged.filter(text => /^WARN Incoming: .*vic@one\.test.*EACCES/.test(text)).length, 1);
  });
});
