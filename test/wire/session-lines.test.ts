// Command lines: their length, their end, and what closes a connection.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { reply } from '../../src/wire/reply.ts';
import { SmtpSession } from '../../src/wire/session.ts';
import { Conversation, outcome, smtp } from './conversation.ts';
import { cuts, describeCut, latin1, pieces } from './cuts.ts';

const greeting = '220 relay.example filtermail ESMTP\r\n';
const tooLong = '500 5.5.6 Line too long\r\n';
const bare = '500 5.5.2 Bare <CR> or <LF> received\r\n';
const ok = '250 2.0.0 Ok\r\n';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

function liveHeap(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

/** A NOOP line of so many octets, CRLF included. */
function noop(octets: number): string {
  return `NOOP ${'x'.repeat(octets - 7)}\r\n`;
}

test('a command line has at most 4096 octets, CRLF included', () => {
  const cases: [wire: string, output: string, closed: boolean][] = [
    [noop(4095), ok, false],
    [noop(4096), ok, false],
    [noop(4097), tooLong, true],
    [noop(5000), tooLong, true],
    [noop(4096).repeat(3), ok.repeat(3), false],
    [`NOOP\r\n${noop(4097)}NOOP\r\n`, ok + tooLong, true],
    ['x'.repeat(4095), '', false],
    ['x'.repeat(4096), tooLong, true],
    ['x'.repeat(10_000), tooLong, true],
    [`${'\0'.repeat(4094)}\r\n`, '502 5.5.1 Command not implemented\r\n', false],
    [`${'\r'.repeat(4096)}`, tooLong, true],
  ];
  for (const [wire, output, closed] of cases) {
    const cut = [1, 2, 3, 1000, 2048, 4093, 4094, 4095, 4096, 4097, 4098, wire.length].map(size => pieces(wire, size));
    for (const chunks of cut) {
      const got = outcome(chunks);
      assert.deepEqual([got.output, got.closed], [greeting + output, closed], describeCut(chunks));
    }
  }
});

test('an endless line is given up at its 4096th octet, and what follows is not kept', () => {
  const session = new SmtpSession(smtp);
  const chunk = latin1('x'.repeat(1000));
  for (let fed = 0; fed < 4; fed++) {
    session.feed(chunk);
    assert.equal(session.next(), null);
    assert.equal(session.closed, false);
  }
  session.feed(chunk);
  assert.equal(session.next(), null);
  assert.equal(session.closed, true);
  assert.equal(session.takeOutput(), greeting + tooLong);
});

test('a bare CR or LF in a command closes the connection, at every cut', () => {
  const lines = [
    '\n',
    '\r\r\n',
    '\n\r\n',
    'NOOP\n',
    'NOOP\r\r\n',
    'NO\rOP\r\n',
    '\rNOOP\r\n',
    'NOOP \n\r\n',
    'MAIL FROM:<a@b>\nRCPT TO:<c@d>\r\n',
    'MAIL FROM:<"a\r"@b>\r\n',
    'MAIL FROM:<a\\\r@b>\r\n',
    'MAIL FROM:<a\\\n@b>\r\n',
    'XFORWARD NAME=a\rb\r\n',
  ];
  for (const line of lines) {
    for (const chunks of cuts(`NOOP\r\n${line}NOOP\r\n`)) {
      const { output, closed } = outcome(chunks);
      assert.deepEqual([output, closed], [greeting + ok + bare, true], describeCut(chunks));
    }
  }
});

test('what is pipelined behind QUIT is never read, at every cut', () => {
  const behind = ['', 'NOOP\r\n', 'MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n', '\0\n\r\xff', 'x'.repeat(50)];
  for (const garbage of behind) {
    for (const chunks of cuts(`EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nQUIT\r\n${garbage}`)) {
      const { output, closed, begun } = outcome(chunks);
      assert.ok(output.endsWith('250 2.1.5 Ok\r\n221 2.0.0 Bye\r\n'), describeCut(chunks));
      assert.deepEqual([closed, begun], [true, []], describeCut(chunks));
    }
  }
});

test('garbage behind QUIT in any amount is not kept', () => {
  const session = new SmtpSession(smtp);
  session.feed(latin1('QUIT\r\n'));
  session.next();
  collectGarbage();
  const before = process.memoryUsage().arrayBuffers;
  for (let fed = 0; fed < 200; fed++) {
    session.feed(latin1('NOOP\r\n'.repeat(10_000)));
    assert.equal(session.next(), null);
  }
  collectGarbage();
  assert.ok(process.memoryUsage().arrayBuffers - before < 5_000_000);
});

test('pipelined commands are answered in order, at every cut', () => {
  const wire = [
    'NOOP\r\nVRFY x\r\nFOO\r\n\r\nMAIL FROM:<a@b>\r\nEHLO c\r\nmail from:<a@b> x=1\r\nMAIL FROM:<a@b\r\n',
    'MAIL FROM:<a@b>\r\nRCPT TO:<>\r\nRCPT TO:<c@d>\r\nDATA\r\nFrom: a\r\n.\r\nRSET\r\nQUIT\r\n',
  ].join('');
  const codes = '220 250 252 502 502 503 250 555 501 250 501 250 354 250 250 221';
  for (const chunks of cuts(wire)) {
    const { output } = outcome(chunks);
    const last = output.match(/^\d{3}(?= )/gm)?.join(' ');
    assert.equal(last, codes, describeCut(chunks));
  }
});

test('pipelined commands with long answers wait until the output is taken; all are answered, in order', () => {
  const answer = new Conversation().say('EHLO c\r\n');
  const session = new SmtpSession(smtp);
  session.takeOutput();
  session.feed(latin1(`${'EHLO c\r\n'.repeat(5000)}NOOP\r\nQUIT\r\nNOOP\r\n`));
  let output = '';
  let most = 0;
  for (let more = true; more; ) {
    assert.equal(session.next(), null);
    more = session.outputFull;
    const taken = session.takeOutput();
    output += taken;
    most = Math.max(most, taken.length);
  }
  // 1 MB in all, never more than a little of it at a time.
  assert.equal(output, `${answer.repeat(5000)}${ok}221 2.0.0 Bye\r\n`);
  assert.ok(most < 20_000, `${most} octets of output at once`);
  assert.equal(session.closed, true);
});

test('a full output holds back the message too, and its end', () => {
  const noops = 'NOOP\r\n'.repeat(5000);
  const message = 'EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n';
  const wire = `${noops}${message}${noops}${message}QUIT\r\n`;
  const whole = outcome([wire]);
  assert.equal(whole.messages.length, 2);
  assert.equal(whole.output.match(/^250 2\.0\.0 Ok$/gm)?.length, 10_000);
  for (const size of [997, 16_384, 30_011]) assert.deepEqual(outcome(pieces(wire, size)), whole);
});

test('a client that never greets and never ends anything cannot make the session grow', () => {
  const before = liveHeap();
  const conversation = new Conversation(smtp, { recipient: () => reply(550, '1.1', 'No') });
  conversation.say('EHLO c\r\nMAIL FROM:<a@b>\r\n');
  for (let round = 0; round < 200; round++) {
    conversation.say(`RCPT TO:<${'x'.repeat(4000)}>\r\n`.repeat(50));
    conversation.output = '';
  }
  const { session } = conversation;
  assert.equal(session.inTransaction, true);
  // 40 MB of refused recipients went in.
  assert.ok(liveHeap() - before < 5_000_000);
});

test('XFORWARD without end is refused, and a refused one changes nothing', () => {
  const conversation = new Conversation();
  conversation.say('EHLO c\r\n');
  assert.equal(conversation.say('XFORWARD NAME=a LOGIN=b\r\n').slice(0, 9), '501 5.5.4');
  assert.equal(conversation.say('XFORWARD NAME=x\r\n'.repeat(100)), ok.repeat(100));
  assert.equal(conversation.say('XFORWARD NAME=x\r\n').slice(0, 9), '501 5.5.4');
  conversation.say('MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n');
  assert.equal(conversation.begun[0]?.xforward.length, 100);
});
