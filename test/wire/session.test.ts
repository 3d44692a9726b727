import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bareReply, reply } from '../../src/wire/reply.ts';
import { SmtpSession, startData } from '../../src/wire/session.ts';
import { Conversation, lmtp, type Owner, outcome, smtp } from './conversation.ts';
import { cuts, describeCut, latin1, pieces } from './cuts.ts';

const hello = 'EHLO c\r\n';
const toData = `${hello}MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n`;

/** The codes of an output, one a reply line. */
function codes(output: string): string {
  return output
    .split('\r\n')
    .filter(line => line !== '')
    .map(line => line.slice(0, 4).trimEnd())
    .join(' ');
}

test('the greeting and the answers to EHLO, LHLO and HELO', () => {
  const options = { ...smtp, name: '[192.0.2.1]', maxMessageSize: 31457280 };
  const smtpSession = new Conversation(options);
  assert.equal(smtpSession.output, '220 [192.0.2.1] filtermail ESMTP\r\n');
  const common = '250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE 31457280\r\n250';
  assert.equal(
    smtpSession.say(hello),
    `250-[192.0.2.1]\r\n${common}-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250 XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\r\n`,
  );
  assert.equal(smtpSession.say('HELO c\r\n'), '250 [192.0.2.1]\r\n');
  assert.equal(smtpSession.say('LHLO c\r\n'), '502 5.5.1 Command not implemented\r\n');

  const lmtpSession = new Conversation({ ...options, protocol: 'LMTP' });
  assert.equal(lmtpSession.output, '220 [192.0.2.1] filtermail LMTP\r\n');
  assert.equal(lmtpSession.say('LHLO c\r\n'), `250-[192.0.2.1]\r\n${common} ENHANCEDSTATUSCODES\r\n`);
  assert.equal(codes(lmtpSession.say('HELO c\r\nEHLO c\r\n')), '502 502');
});

test('the envelope has everything as it came, at every cut', () => {
  const wire = [
    'EHLO c\r\nXFORWARD NAME=[UNAVAILABLE] ADDR=IPv6:::1\r\nXFORWARD HELO=xtext+20\xa0\r\n',
    'MAIL FROM:<"a>b"@c> size=10 SMTPUTF8 RET=hdrs\r\n',
    'RCPT TO:<D@e>\r\nRCPT TO:<D@e> NOTIFY=NEVER\r\nRCPT TO:<gr\xc3\xbc@\xa0>\r\nDATA\r\n..\xa0\r\n.\r\n',
  ].join('');
  const none = new Map();
  const envelope = {
    from: {
      address: '"a>b"@c',
      parameters: new Map([
        ['SIZE', '10'],
        ['SMTPUTF8', null],
        ['RET', 'hdrs'],
      ]),
    },
    recipients: [
      { address: 'D@e', parameters: none },
      { address: 'D@e', parameters: new Map([['NOTIFY', 'NEVER']]) },
      { address: 'gr\xc3\xbc@\xa0', parameters: none },
    ],
    xforward: [
      { name: 'NAME', value: '[UNAVAILABLE]' },
      { name: 'ADDR', value: 'IPv6:::1' },
      { name: 'HELO', value: 'xtext+20\xa0' },
    ],
  };
  for (const chunks of cuts(wire)) {
    const { messages } = outcome(chunks);
    assert.deepEqual(messages, [{ envelope, fault: null, wire: '..\xa0\r\n', text: '.\xa0\r\n' }], describeCut(chunks));
  }
});

test('what ends a transaction: its answer, RSET, EHLO, HELO; with it go sender, recipients and XFORWARD', () => {
  const start = `${hello}XFORWARD NAME=x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n`;
  for (const end of ['DATA\r\n.\r\n', 'RSET\r\n', hello, 'HELO c\r\n']) {
    const conversation = new Conversation();
    conversation.say(start);
    assert.equal(conversation.session.inTransaction, true);
    conversation.say(end);
    assert.equal(conversation.session.inTransaction, false, end);
    assert.equal(codes(conversation.say('DATA\r\nRCPT TO:<e@f>\r\n')), '503 503', end);
    conversation.say('MAIL FROM:<g@h>\r\nRCPT TO:<e@f>\r\nDATA\r\n');
    const envelope = conversation.begun.at(-1);
    assert.deepEqual([envelope?.from.address, envelope?.recipients.length, envelope?.xforward], ['g@h', 1, []], end);
  }
});

test('a refused HELO or LHLO of the other protocol leaves the transaction alone', () => {
  const conversation = new Conversation();
  conversation.say(`${hello}MAIL FROM:<a@b>\r\nLHLO c\r\n`);
  assert.equal(conversation.session.inTransaction, true);
});

test('out of sequence', () => {
  const cases: [before: string, command: string][] = [
    ['', 'MAIL FROM:<a@b>'],
    ['', 'RCPT TO:<a@b>'],
    ['', 'DATA'],
    ['', 'XFORWARD NAME=x'],
    [hello, 'RCPT TO:<a@b>'],
    [hello, 'DATA'],
    [`${hello}MAIL FROM:<a@b>\r\n`, 'MAIL FROM:<a@b>'],
    [`${hello}MAIL FROM:<a@b>\r\n`, 'DATA'],
    [`${hello}MAIL FROM:<a@b>\r\n`, 'XFORWARD NAME=x'],
    [`${hello}MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n`, 'MAIL FROM:<a@b>'],
    [`${hello}MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRSET\r\n`, 'DATA'],
  ];
  for (const [before, command] of cases) {
    const conversation = new Conversation();
    conversation.say(before);
    assert.equal(conversation.say(`${command}\r\n`), '503 5.5.1 Bad sequence of commands\r\n', before + command);
  }
});

test('a sender that is refused is not taken; the recipients of another are not either', () => {
  const owner: Owner = {
    sender: ({ address }) => (address === 'no' ? reply(450, '7.1', 'Not now') : undefined),
    recipient: ({ address }) => (address === 'no' ? bareReply(550, '5.1.1 a', '5.1.1 b') : undefined),
    data: ({ from }) => (from.address === 'later' ? reply(451, '3.0', 'Later') : undefined),
  };
  const conversation = new Conversation(smtp, owner);
  conversation.say(hello);
  assert.equal(
    conversation.say('MAIL FROM:<no>\r\nRCPT TO:<c>\r\n'),
    '450 4.7.1 Not now\r\n503 5.5.1 Bad sequence of commands\r\n',
  );
  assert.equal(codes(conversation.say('MAIL FROM:<a>\r\nRCPT TO:<no>\r\nDATA\r\n')), '250 550- 550 503');
  assert.equal(codes(conversation.say('RCPT TO:<c>\r\nRCPT TO:<no>\r\nDATA\r\n.\r\n')), '250 550- 550 354 250');
  assert.deepEqual(
    conversation.messages.at(-1)?.envelope.recipients.map(({ address }) => address),
    ['c'],
  );
  // A refused DATA begins nothing: what follows are commands, and the transaction stands.
  assert.equal(
    codes(conversation.say('MAIL FROM:<later>\r\nRCPT TO:<c>\r\nDATA\r\nNOOP\r\nDATA\r\n')),
    '250 250 451 250 451',
  );
});

test('1000 recipients and one more; only accepted ones count', () => {
  const owner: Owner = { recipient: ({ address }) => (address === 'no' ? reply(550, '1.1', 'No') : undefined) };
  const many = `${'RCPT TO:<no>\r\n'.repeat(20)}${'RCPT TO:<c@d>\r\n'.repeat(1000)}`;
  for (const size of [1, 4000, 100_000]) {
    const conversation = new Conversation(smtp, owner);
    let output = '';
    for (const chunk of pieces(`${hello}MAIL FROM:<a@b>\r\n${many}`, size)) output += conversation.say(chunk);
    assert.equal(output.match(/^250 2\.1\.5/gm)?.length, 1000);
    assert.equal(conversation.say('RCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\n'), '452 4.5.3 Too many recipients\r\n'.repeat(2));
    assert.equal(codes(conversation.say('DATA\r\n.\r\n')), '354 250');
    assert.equal(conversation.messages[0]?.envelope.recipients.length, 1000);
    // The next transaction starts to count anew.
    assert.equal(codes(conversation.say('MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n')), '250 250');
  }
});

test('SIZE at MAIL: the limit passes, one octet more does not', () => {
  for (const [size, code] of [
    ['0', '250'],
    ['1000', '250'],
    ['01000', '250'],
    ['1001', '552'],
    ['99999999999999999999', '552'],
  ] as const) {
    const conversation = new Conversation();
    conversation.say(hello);
    const output = conversation.say(`MAIL FROM:<a@b> SIZE=${size}\r\n`);
    assert.equal(codes(output), code, size);
    if (code === '552') assert.equal(output, '552 5.3.4 Message exceeds maximum size\r\n');
    assert.equal(conversation.session.inTransaction, code === '250');
  }
});

test('the size limit counts unescaped octets with their CRLFs, and the connection lives on, at every cut', () => {
  const options = { ...smtp, maxMessageSize: 20 };
  const exact = `..${'x'.repeat(15)}\r\n\r\n`;
  for (const [message, fault] of [
    [exact, null],
    [`${exact}.. \r\n`, 'oversize'],
    [exact.replace('x', 'xx'), 'oversize'],
    [`${'x'.repeat(30)}\n\r\n`, 'broken'],
    [`\n${'x'.repeat(30)}\r\n`, 'broken'],
  ] as const) {
    const wire = `${toData}${message}.\r\nMAIL FROM:<next@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\nQUIT\r\n`;
    const whole = outcome([wire], options);
    assert.deepEqual(
      whole.messages.map(each => each.fault),
      [fault, null],
    );
    assert.equal(whole.messages[1]?.envelope.from.address, 'next@b');
    assert.ok(whole.closed);
    for (const chunks of cuts(wire)) assert.deepEqual(outcome(chunks, options), whole, describeCut(chunks));
  }
});

test('QUIT in the data, and a client that goes away, end nothing', () => {
  for (const cut of cuts(`${toData}Subject: x\r\n\r\nhalf a liQUIT\r\n`)) {
    const { messages, begun, closed, inTransaction } = outcome(cut);
    assert.deepEqual([messages, begun.length, closed, inTransaction], [[], 1, false, true], describeCut(cut));
  }
});

test('LMTP: a reply for each accepted recipient, in order, duplicates included', () => {
  const owner: Owner = { recipient: ({ address }) => (address === 'no' ? reply(550, '1.1', 'No') : undefined) };
  const start = 'LHLO c\r\nMAIL FROM:<a>\r\nRCPT TO:<c>\r\nRCPT TO:<no>\r\nRCPT TO:<c>\r\nRCPT TO:<d>\r\n';
  for (const [data, answer] of [
    ['DATA\r\nx\r\n.\r\n', '250 250 250'],
    ['DATA\r\nx\n\r\n.\r\n', '550 550 550'],
    [`DATA\r\n${'x'.repeat(1001)}\r\n.\r\n`, '552 552 552'],
  ] as const) {
    const conversation = new Conversation(lmtp, owner);
    conversation.say(start);
    assert.equal(codes(conversation.say(`${data}NOOP\r\n`)), `354 ${answer} 250`);
  }
});

test('LMTP: DATA without an accepted recipient gets the last refusal', () => {
  const owner: Owner = {
    recipient: ({ address }) => (address === 'c' ? undefined : reply(550, '1.1', `No ${address}`)),
  };
  const conversation = new Conversation(lmtp, owner);
  conversation.say('LHLO c\r\nMAIL FROM:<a>\r\n');
  assert.equal(conversation.say('DATA\r\n'), '503 5.5.1 Bad sequence of commands\r\n');
  conversation.say('RCPT TO:<x>\r\nRCPT TO:<y>\r\n');
  assert.equal(conversation.say('DATA\r\n'), '550 5.1.1 No y\r\n');
  assert.equal(codes(conversation.say('RCPT TO:<c>\r\nDATA\r\n.\r\n')), '250 354 250');
  // The refusals of one transaction do not answer for the next.
  conversation.say('MAIL FROM:<a>\r\nRCPT TO:<z>\r\nRSET\r\nMAIL FROM:<a>\r\n');
  assert.equal(codes(conversation.say('DATA\r\n')), '503');
});

test('nothing is read while an answer is awaited', () => {
  const session = new SmtpSession(smtp);
  session.takeOutput();
  session.feed(latin1(`${toData}x\r\n.\r\nQUIT\r\n`));
  assert.equal(session.next()?.kind, 'sender');
  assert.equal(session.next(), null);
  session.feed(latin1('never read'));
  assert.equal(session.next(), null);
  session.answer(reply(250, '1.0', 'Ok'));
  assert.equal(session.next()?.kind, 'recipient');
  assert.equal(session.next(), null);
  session.answer(reply(250, '1.5', 'Ok'));
  assert.equal(session.next()?.kind, 'data');
  assert.equal(session.next(), null);
  session.answer(startData);
  assert.equal(session.next()?.kind, 'octets');
  assert.equal(session.next()?.kind, 'end');
  assert.equal(session.next(), null);
  assert.equal(session.closed, false);
  session.answer(reply(250, '0.0', 'Ok'));
  assert.equal(session.next(), null);
  assert.equal(session.closed, true);
  assert.match(session.takeOutput(), /221 2\.0\.0 Bye\r\n$/);
  assert.equal(session.takeOutput(), '');
});

test('an answer that nothing waits for is a mistake of the owner', () => {
  const session = new SmtpSession(smtp);
  assert.throws(() => session.answer(startData));
  session.feed(latin1(toData));
  session.next();
  session.answer(reply(250, '1.0', 'Ok'));
  assert.throws(() => session.answer(reply(250, '1.0', 'Ok')));
});

test('a closed session reads nothing more', () => {
  const session = new SmtpSession(smtp);
  session.takeOutput();
  session.close(reply(421, '3.2', 'Going'));
  session.feed(latin1(toData));
  assert.equal(session.next(), null);
  assert.equal(session.takeOutput(), '421 4.3.2 Going\r\n');
});
