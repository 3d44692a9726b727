// Name servers that answer badly, late or not at all, and keys that change: what becomes of the mail that waits for a key.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { type Answer, type Text, twice } from '../peers/dns-server.ts';
import { Client, type Mail } from './client.ts';
import { answerTo, type Entrance, entrances, http, post, smtp } from './entrances.ts';
import { encryptedLine, Gate, noValidSignature, passed, tryLater } from './incoming-gate.ts';
import { type Author, author, letter, nameOf, publish, sealedBy, signed, zeroes } from './incoming-mail.ts';

let gate: Gate;
let descriptors: number;

before(async () => {
  gate = await Gate.open([]);
  descriptors = gate.filter.descriptors().length;
});

/** A domain of its own, so that nothing is cached. */
let domains = 0;
function fresh(selector = 's1'): Author {
  return author(`d${++domains}.test`, selector);
}
const mailOf = (someone: Author, ...more: Author[]) => {
  const sender = `me@${someone.domain}`;
  let text = sealedBy(someone, `From: <${sender}>\r\nSubject: x\r\n`);
  for (const other of more) text = signed(other, text, { spoil: zeroes });
  return letter(text, { from: sender });
};
const asked = (someone: Author) => gate.dns.questions.filter(text => text === `TXT ${nameOf(someone)}`).length;
const answers = (someone: Author, ...list: Answer<Text>[]) => gate.dns.txt(nameOf(someone), ...list);

/** The replies to the same mail sent again and again over SMTP. */
async function replies(someone: Author, times: number): Promise<string[]> {
  const texts: string[] = [];
  for (let n = 0; n < times; n++) texts.push(await smtp.send(gate.site, mailOf(someone)));
  return texts;
}

/** Mail whose key never comes: it is sent first, and its answers are awaited last. */
const silent: { domain: string; began: number; reply: Promise<{ text: string; at: number }> }[] = [];
function sendInVain(entrance: Entrance, { domain }: Author, mail: Mail): void {
  const reply = entrance.send(gate.site, mail).then(text => ({ text, at: performance.now() }));
  silent.push({ domain, began: performance.now(), reply });
}

describe('no answer', () => {
  for (const entrance of entrances) {
    test(`others are served while mail over ${entrance.name} waits`, async () => {
      const someone = fresh();
      answers(someone, 'silence');
      const began = performance.now();
      sendInVain(entrance, someone, mailOf(someone));
      await gate.dns.asked(`TXT ${nameOf(someone)}`);
      const good = fresh();
      publish(gate.dns, good);
      assert.equal(await entrance.send(gate.site, mailOf(good)), passed);
      assert.ok(performance.now() - began < 2000, 'at once');
    });
  }

  test('a good signature beside one whose key never comes passes at once', async () => {
    for (const entrance of entrances) {
      const good = fresh();
      const beside = { ...fresh(), domain: good.domain, selector: 's2' };
      publish(gate.dns, good);
      answers(beside, 'silence');
      const began = performance.now();
      assert.equal(await entrance.send(gate.site, mailOf(good, beside)), passed);
      assert.ok(performance.now() - began < 1000, 'at once');
    }
  });

  test('a bad signature beside one whose key never comes waits, too', async () => {
    const someone = fresh();
    const beside = { ...someone, selector: 's2' };
    publish(gate.dns, someone);
    answers(beside, 'silence');
    const spoilt = mailOf(someone, beside).wire.toString('latin1').replace('Subject: x', 'Subject: y');
    sendInVain(smtp, someone, { ...mailOf(someone), wire: Buffer.from(spoilt, 'latin1') });
    await gate.dns.asked(`TXT ${nameOf(beside)}`);
  });

  test('SIGTERM is not held up by it for more than 10 s, and nobody believes in a delivery', async () => {
    const stopped = await Gate.open([]);
    const [one, other] = [fresh(), fresh()];
    for (const each of [one, other]) stopped.dns.txt(nameOf(each), 'silence');
    const client = await Client.hello(stopped.site.incomingPort);
    const overSmtp = client.send(mailOf(one));
    const overHttp = answerTo(post(stopped.site, mailOf(other))).then(
      ({ body }) => body,
      () => '',
    );
    await Promise.all([one, other].map(each => stopped.dns.asked(`TXT ${nameOf(each)}`)));
    const began = performance.now();
    stopped.filter.signal('SIGTERM');
    const ended = async () => {
      assert.match(await overSmtp, /^(?:451 4\.7\.5 .*)?$/);
      client.end();
      assert.match(await overHttp, /^(?:451 4\.7\.5 .*)?$/);
      assert.equal(await stopped.filter.ended(), 0);
      assert.ok(performance.now() - began < 12_000);
      assert.deepEqual(stopped.hop.take(), []);
    };
    stopping = ended();
    stopping.catch(() => undefined); // it is looked at below
  });
});

let stopping = Promise.resolve();

describe('odd answers', () => {
  test('late', async () => {
    const someone = fresh();
    const gates = Promise.withResolvers<void>();
    answers(someone, { answer: [someone.record], after: gates.promise });
    const waiting = smtp.send(gate.site, mailOf(someone));
    await gate.dns.asked(`TXT ${nameOf(someone)}`);
    gates.resolve();
    assert.equal(await waiting, passed);
  });

  test('twice', async () => {
    const someone = fresh();
    answers(someone, { answer: [someone.record], send: twice });
    assert.deepEqual(await replies(someone, 2), [passed, passed]);
  });

  for (const failure of ['SERVFAIL', 'REFUSED'] as const) {
    test(`${failure}, then good`, async () => {
      const someone = fresh();
      answers(someone, failure, [someone.record]);
      const [first, ...rest] = await replies(someone, 3);
      assert.match(first ?? '', tryLater);
      assert.deepEqual(rest, [passed, passed]);
    });
  }

  for (const [name, negative] of [
    ['NXDOMAIN', 'NXDOMAIN'],
    ['NODATA', 'NODATA'],
    ['no key', ['v=spf1 -all']],
    ['a revoked key', ['v=DKIM1; k=ed25519; p=']],
    ['a malformed key', ['v=DKIM1; k=ed25519; p=AAAA']],
  ] as const) {
    test(`${name}, then good: what says no is not kept`, async () => {
      const someone = fresh();
      answers(someone, negative, negative, [someone.record]);
      assert.deepEqual(await replies(someone, 3), [noValidSignature, noValidSignature, passed]);
    });
  }

  test('an alias, a chain of them, and one that leads back to itself', async () => {
    const [one, chained, looping, nowhere] = [fresh(), fresh(), fresh(), fresh()];
    for (const someone of [one, chained]) gate.dns.txt(`${someone.domain}.keys.test`, [someone.record]);
    gate.dns.cname(nameOf(one), [`${one.domain}.keys.test`]);
    gate.dns.cname(nameOf(chained), ['hop1.keys.test']);
    gate.dns.cname('hop1.keys.test', ['hop2.keys.test']);
    gate.dns.cname('hop2.keys.test', [`${chained.domain}.keys.test`]);
    gate.dns.cname(nameOf(looping), [nameOf(looping)]);
    gate.dns.cname(nameOf(nowhere), ['nowhere.test']);
    assert.deepEqual(await replies(one, 1), [passed]);
    assert.deepEqual(await replies(chained, 1), [passed]);
    assert.match((await replies(looping, 1))[0] ?? '', tryLater);
    assert.deepEqual(await replies(nowhere, 1), [noValidSignature]);
  });

  test('a record of 64 KiB, and one key among others', async () => {
    const [long, many] = [fresh(), fresh()];
    const strings = Array.from({ length: 250 }, () => 'x'.repeat(255));
    answers(long, [['v=DKIM1; k=ed25519; n=', ...strings, long.record.replace('v=DKIM1; k=ed25519', '')]]);
    answers(many, ['v=spf1 -all', 'junk', 'v=DKIM1; p=', many.record, 'v=DKIM1; k=rsa; p=AAAA']);
    assert.deepEqual(await replies(long, 1), [passed]);
    assert.ok(gate.dns.tcpQuestions.includes(`TXT ${nameOf(long)}`));
    assert.deepEqual(await replies(many, 1), [passed]);
  });
});

describe('how often it is asked', () => {
  test('once for 50 messages at the same time, and not again', async () => {
    const someone = fresh();
    const open = Promise.withResolvers<void>();
    answers(someone, { answer: [someone.record], after: open.promise });
    const waiting = Array.from({ length: 50 }, (_, n) => (n % 2 === 0 ? smtp : http).send(gate.site, mailOf(someone)));
    const mark = gate.filter.log.mark;
    await gate.filter.log.until(
      () => (gate.filter.log.since(mark).filter(line => line === encryptedLine).length >= 50 ? true : undefined),
      'not all are waiting',
    );
    open.resolve();
    assert.deepEqual(await Promise.all(waiting), Array(50).fill(passed));
    assert.equal(asked(someone), 1);
    assert.deepEqual(await replies(someone, 2), [passed, passed]);
    assert.equal(asked(someone), 1);
  });

  test('a name is one in whatever case', async () => {
    const someone = fresh();
    publish(gate.dns, someone);
    const capitals = { ...someone, selector: 'S1', domain: someone.domain.toUpperCase() };
    assert.deepEqual(await replies(someone, 1), [passed]);
    assert.deepEqual(await replies(capitals, 1), [passed]);
    const questions = gate.dns.questions.filter(text => text.toLowerCase() === `txt ${nameOf(someone)}`);
    assert.equal(questions.length, 1);
  });

  test('never for an unaligned signature, nor for one that cannot hold', async () => {
    const [someone, list] = [fresh(), fresh()];
    publish(gate.dns, someone);
    const { length } = gate.dns.questions;
    const sender = `me@${someone.domain}`;
    const header = `From: <${sender}>\r\nSubject: x\r\n`;
    for (const text of [
      sealedBy(list, header),
      sealedBy(someone, header, { tags: 't=1; x=2;' }),
      sealedBy(someone, header, { fields: ['Subject'] }),
      `${sealedBy(someone, header)}changed`,
      `DKIM-Signature: v=1; d=${someone.domain}; s=s1\r\n${sealedBy(list, header)}`,
    ]) {
      for (const entrance of entrances) {
        assert.match(await entrance.send(gate.site, letter(text, { from: sender })), /^(?:554 5\.7\.1|523) /);
      }
    }
    const ours = [someone, list].map(({ domain }) => `.${domain}`);
    const asked = gate.dns.questions.slice(length).filter(text => ours.some(end => text.endsWith(end)));
    assert.deepEqual(asked, []);
  });

  test('a key that was changed is fetched again at once; one that was not, only once in a minute', async () => {
    const before = fresh();
    const after = { ...author(before.domain), selector: before.selector };
    publish(gate.dns, before);
    assert.deepEqual(await replies(before, 1), [passed]);
    publish(gate.dns, after);
    assert.deepEqual(await replies(after, 3), [passed, passed, passed]);
    assert.equal(asked(before), 2);
    assert.deepEqual(await replies(before, 4), Array(4).fill(noValidSignature));
    assert.equal(asked(before), 3, 'the first failure, and no other within a minute');
    assert.deepEqual(await replies(after, 2), [passed, passed]);
    assert.equal(asked(before), 3);
  });

  test('a key that was taken away is no longer one, once a signature fails', async () => {
    const someone = fresh();
    publish(gate.dns, someone);
    assert.deepEqual(await replies(someone, 1), [passed]);
    answers(someone, 'NXDOMAIN');
    const forged = { ...author(someone.domain), selector: someone.selector };
    assert.deepEqual(await replies(forged, 1), [noValidSignature]);
    assert.deepEqual(await replies(someone, 1), [noValidSignature]);
  });

  test('50 forged messages at the same time: one question more', async () => {
    const someone = fresh();
    publish(gate.dns, someone);
    assert.deepEqual(await replies(someone, 1), [passed]);
    const forged = { ...author(someone.domain), selector: someone.selector };
    const all = await Promise.all(Array.from({ length: 50 }, () => smtp.send(gate.site, mailOf(forged))));
    assert.deepEqual(all, Array(50).fill(noValidSignature));
    assert.equal(asked(someone), 2);
  });

  test('when the fresh key cannot be had, the mail is put off, and the old key still serves', async () => {
    const someone = fresh();
    answers(someone, [someone.record], 'SERVFAIL');
    assert.deepEqual(await replies(someone, 1), [passed]);
    const forged = { ...author(someone.domain), selector: someone.selector };
    assert.match((await replies(forged, 1))[0] ?? '', tryLater);
    assert.deepEqual(await replies(someone, 1), [passed]);
  });
});

test('mail whose key never came was put off within 15 s, and the log says why', async () => {
  assert.equal(silent.length, 3);
  for (const { domain, began, reply } of silent) {
    const { text, at } = await reply;
    assert.match(text, tryLater);
    assert.ok(at - began > 5000 && at - began < 16_500, `${Math.round(at - began)} ms`);
    await gate.filter.log.find(new RegExp(`^WARN Incoming: deferred mail from me@${domain}: .*DNS: timeout`));
  }
});

test('who was told to stop meanwhile has done so', () => stopping);

test('what was put off is not kept as refused; it holds nothing; it ends well', async () => {
  await gate.logged(0);
  const mark = gate.filter.log.mark;
  const someone = fresh();
  answers(someone, 'SERVFAIL');
  const { status, body } = await answerTo(post(gate.site, mailOf(someone)));
  assert.equal(status, 400);
  assert.match(body, tryLater);
  const log = await gate.logged(mark);
  assert.equal(log.length, 2);
  assert.doesNotMatch(log[1] ?? '', /kept/);
  await gate.unharmed(descriptors);
});
