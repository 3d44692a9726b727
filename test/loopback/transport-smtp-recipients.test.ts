// One transaction with a remote server and its recipients: each hears what the server said of him, and nobody gets what was not meant.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Plan } from '../peers/tls-smtp-server.ts';
import type { Mail } from './client.ts';
import { plain } from './mail.ts';
import { type Remote, TransportSite } from './transport-site.ts';

let world: TransportSite;
before(async () => {
  world = await TransportSite.start();
});

const delivered = '250 2.0.0 OK (SMTP)';
const pipelined = ['PIPELINING', 'SIZE 31457280', '8BITMIME', 'SMTPUTF8'];
const stepwise = ['SIZE 31457280', '8BITMIME', 'SMTPUTF8'];
const manners = [
  ['pipelined', pipelined],
  ['stepwise', stepwise],
] as const;

function mailTo({ domain }: Remote, ...names: readonly string[]): Mail {
  return plain(
    'Hello',
    'a@one.test',
    names.map(name => `${name}@${domain}`),
  );
}

/** The plan that refuses recipients by their names. */
function refusing(refusals: Readonly<Record<string, string>>, other: Plan = () => undefined): Plan {
  return (stage, talk, line) => {
    const name = /^RCPT TO:<([^@]+)@/.exec(line)?.[1] ?? '';
    return stage === 'RCPT' && Object.hasOwn(refusals, name) ? refusals[name] : other(stage, talk, line);
  };
}

for (const [manner, extensions] of manners) {
  test(`some recipients are refused, the others get the mail: ${manner}`, async () => {
    const plan = refusing({ no: '550 5.1.1 unknown', full: '452 4.2.2 full', bye: '421 4.3.2 bye' });
    const remote = await world.remote({ extensions, plan });
    const replies = await world.deliver(mailTo(remote, 'no', 'u', 'full', 'u', 'no', 'bye', 'V'));
    const said = `(${remote.host} said)`;
    assert.deepEqual(replies, [
      `550 5.1.1 unknown ${said}`,
      delivered,
      `452 4.2.2 full ${said}`,
      delivered,
      `550 5.1.1 unknown ${said}`,
      `451 4.3.2 bye ${said}`,
      delivered,
    ]);
    assert.equal(remote.server.messages.length, 1);
    const rcpts = remote.server.talk(0).commands.filter(command => command.startsWith('RCPT'));
    assert.equal(rcpts.length, 7, 'each recipient as Postfix gave it');
    await world.told(remote.domain);
    const lines = world.filter.log.all.filter(line => line.includes(`to ${remote.domain},`));
    assert.deepEqual(lines.map(line => /\((\d) to/.exec(line)?.[1]).sort(), ['1', '1', '2', '3']);
    assert.equal(lines.filter(line => / bounced: "550 5\.1\.1 .*\]: RCPT: 550 5\.1\.1 unknown/.test(line)).length, 1);
  });

  test(`all are refused and DATA as well: ${manner}`, async () => {
    for (const data of ['503 5.5.1 no recipients', '554 5.5.1 no valid recipients', '451 4.5.0 what']) {
      const plan = refusing({ no: '550 5.1.1 unknown', full: '452 4.2.2 full' }, stage =>
        stage === 'DATA' ? data : undefined,
      );
      const remote = await world.remote({ extensions, plan });
      assert.deepEqual(await world.deliver(mailTo(remote, 'full', 'no')), [
        `452 4.2.2 full (${remote.host} said)`,
        `550 5.1.1 unknown (${remote.host} said)`,
      ]);
      await remote.server.until(() => remote.server.open === 0);
    }
  });

  test(`all are refused and DATA gets 354: a lone dot, and no message: ${manner}`, async () => {
    const remote = await world.remote({ extensions, plan: refusing({ no: '550 5.1.1 unknown' }) });
    assert.equal(await world.answer(mailTo(remote, 'no')), `550 5.1.1 unknown (${remote.host} said)`);
    await remote.server.until(() => remote.server.open === 0);
    assert.deepEqual(remote.server.messages.join(''), '');
    assert.equal(remote.server.talks.length, 1);
  });

  test(`DATA is refused: ${manner}`, async () => {
    for (const said of ['451 4.3.0 later', '554 5.6.0 no']) {
      const plan = refusing({ no: '550 5.1.1 unknown' }, stage => (stage === 'DATA' ? said : undefined));
      const remote = await world.remote({ extensions, plan });
      assert.deepEqual(await world.deliver(mailTo(remote, 'u', 'no', 'v')), [
        `${said} (${remote.host} said)`,
        `550 5.1.1 unknown (${remote.host} said)`,
        `${said} (${remote.host} said)`,
      ]);
      assert.deepEqual(remote.server.messages, []);
    }
  });

  test(`MAIL is refused and all the rest accepted: nobody gets an empty message: ${manner}`, async () => {
    for (const said of ['451 4.3.0 later', '553 5.1.8 who are you']) {
      const remote = await world.remote({ extensions, plan: stage => (stage === 'MAIL' ? said : undefined) });
      const [first, second] = await world.deliver(mailTo(remote, 'u', 'v'));
      assert.deepEqual([first, second], [`${said} (${remote.host} said)`, `${said} (${remote.host} said)`]);
      await remote.server.until(() => remote.server.open === 0);
      // The lone dot of RFC 2920 3.1 is for transactions without a recipient.
      assert.deepEqual(remote.server.messages, []);
    }
  });

  test(`refused at the end of the data: for those who were accepted: ${manner}`, async () => {
    for (const said of ['452 4.3.1 later', '550 5.7.1 spam']) {
      const plan = refusing({ no: '550 5.1.1 unknown' }, stage => (stage === 'message' ? said : undefined));
      const remote = await world.remote({ extensions, plan });
      assert.deepEqual(await world.deliver(mailTo(remote, 'u', 'no')), [
        `${said} (${remote.host} said)`,
        `550 5.1.1 unknown (${remote.host} said)`,
      ]);
    }
  });

  test(`the connection is lost behind the final dot or before it: temporary, nothing is tried twice: ${manner}`, async () => {
    for (const stage of ['RCPT', 'DATA', 'message'] as const) {
      for (const and of ['close', 'reset'] as const) {
        const plan: Plan = (now, _, line) => (now === stage && !line.includes('<no@') ? { and } : undefined);
        const remote = await world.remote({ extensions, plan: refusing({ no: '550 5.1.1 unknown' }, plan) });
        const [no, ...others] = await world.deliver(mailTo(remote, 'no', 'u', 'v'));
        // A reset may overtake the answers before it.
        assert.match(no ?? '', and === 'close' ? /^550 5\.1\.1 / : /^(?:550 5\.1\.1|451 4\.4\.2) /);
        for (const reply of others) assert.match(reply, /^451 4\.4\.2 /);
        assert.deepEqual([remote.server.talks.length, remote.server.messages.length], [1, stage === 'message' ? 1 : 0]);
      }
    }
  });
}

test('refused while the message is on its way: at once, and no dot goes out', async () => {
  const huge = plain('x'.repeat(76).concat('\r\n').repeat(100_000));
  for (const [said, expected] of [
    ['552 5.3.4 too large', /^552 5\.3\.4 too large \(\S+ said\)$/],
    ['421 4.3.0 bye', /^451 4\.3\.0 bye \(\S+ said\)$/],
    ['250 2.0.0 Ok', /^451 4\.4\.2 /],
  ] as const) {
    for (const and of [undefined, 'deaf'] as const) {
      let done = false;
      const remote = await world.remote({
        plan: stage => {
          if (stage !== 'data' || done) return undefined;
          done = true;
          return { say: said, ...(and === undefined ? {} : { and }) };
        },
      });
      const began = performance.now();
      assert.match(await world.answer({ ...huge, to: [`u@${remote.domain}`] }), expected);
      assert.ok(performance.now() - began < 5000, 'at once');
      assert.deepEqual(remote.server.messages, []);
      for (const { sides } of remote.server.talks) for (const { socket } of sides) socket.resume();
    }
  }
});

test('pipelining only where it is announced in TLS', async () => {
  for (const [manner, extensions] of manners) {
    const remote = await world.remote({ extensions });
    await world.deliver(mailTo(remote, 'u', 'v'));
    assert.equal(remote.server.talk(0).tls?.ranAhead, manner === 'pipelined');
    assert.equal(remote.server.talk(0).plain?.ranAhead, false);
  }
});

test('parameters are passed to those who announce their extension, else dropped', async () => {
  const all = ['PIPELINING', 'SIZE 31457280', '8BITMIME', 'SMTPUTF8', 'DSN'];
  for (const [extensions, mail, rcpt] of [
    [all, 'SIZE=300 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+3Dy', 'NOTIFY=FAILURE,DELAY ORCPT=rfc822;u@old.test'],
    [['dsn'], 'RET=HDRS ENVID=x+3Dy', 'NOTIFY=FAILURE,DELAY ORCPT=rfc822;u@old.test'],
    [['8bitmime', 'Size'], 'SIZE=300 BODY=8BITMIME', ''],
    [['SMTPUTF8'], 'SMTPUTF8', ''],
    [[], '', ''],
  ] as const) {
    const remote = await world.remote({ extensions });
    const client = await world.lmtp();
    const parameters = 'SIZE=300 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+3Dy';
    assert.match(await client.ask(`MAIL FROM:<a@one.test> ${parameters}`), /^250 /);
    const notify = 'NOTIFY=FAILURE,DELAY ORCPT=rfc822;u@old.test';
    assert.match(await client.ask(`RCPT TO:<u@${remote.domain}> ${notify}`), /^250 /);
    assert.match(await client.ask('DATA'), /^354 /);
    assert.equal(await client.ask('x: y\r\n\r\nz\r\n.'), delivered);
    await client.quit();
    assert.deepEqual(remote.server.talk(0).tls?.commands.slice(1, 3), [
      `MAIL FROM:<a@one.test> ${mail}`.trim(),
      `RCPT TO:<u@${remote.domain}> ${rcpt}`.trim(),
    ]);
  }
});

test('SMTPUTF8 that is needed and not offered is 553 5.6.7; not needed, it is dropped', async () => {
  const remote = await world.remote({ extensions: ['PIPELINING', '8BITMIME'] });
  const utf8 = Buffer.from('ü').toString('latin1');
  const ascii = { ...mailTo(remote, 'u'), parameters: ' SMTPUTF8' };
  assert.equal(await world.answer(ascii), delivered);
  for (const mail of [
    { ...mailTo(remote, utf8), parameters: ' SMTPUTF8' },
    { ...mailTo(remote, 'u'), from: `${utf8}@one.test`, parameters: ' SMTPUTF8' },
  ]) {
    assert.match(await world.answer(mail), /^553 5\.6\.7 /);
  }
  assert.equal(remote.server.messages.length, 1);
  const able = await world.remote();
  assert.equal(await world.answer({ ...mailTo(able, utf8), parameters: ' SMTPUTF8' }), delivered);
  assert.ok(able.server.talk(0).commands.includes(`RCPT TO:<${utf8}@${able.domain}>`));
});

test('domains of one mail are delivered on their own, replies in the order of the recipients', async () => {
  const gate = Promise.withResolvers<void>();
  const slow = await world.remote({
    plan: (stage, talk) => {
      if (stage !== 'message') return undefined;
      void gate.promise.then(() => talk.peer.do('250 2.0.0 Ok'));
      return {};
    },
  });
  const refusal = await world.remote({ plan: stage => (stage === 'message' ? '550 5.7.1 no' : undefined) });
  const fast = await world.remote();
  const to = [
    `u@${fast.domain}`,
    `u@${slow.domain}`,
    `U@${fast.domain.toUpperCase()}`,
    `u@${refusal.domain}`,
    `u@${fast.domain}`,
  ];
  const replies = world.deliver({ ...mailTo(fast, 'u'), to });
  await fast.server.until(() => fast.server.messages.length === 1);
  await slow.server.until(() => slow.server.messages.length === 1);
  gate.resolve();
  assert.deepEqual(await replies, [delivered, delivered, delivered, `550 5.7.1 no (${refusal.host} said)`, delivered]);
  const rcpts = fast.server.talk(0).commands.filter(command => command.startsWith('RCPT'));
  assert.deepEqual(
    rcpts,
    [to[0], to[2], to[4]].map(address => `RCPT TO:<${address}>`),
  );
});

test('the log is whole', async () => {
  await world.filter.stop();
});
