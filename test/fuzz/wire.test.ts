// Random octets from an alphabet of nasty pieces, randomly cut. A failure prints the seed and the path that repeat it:
// give them to `fc.assert` as `{ seed, path }`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Extensions, mailCommand, rcptCommand, xforwardCommands } from '../../src/wire/client-commands.ts';
import { parseCommand, xforwardAttributes } from '../../src/wire/command.ts';
import { DataReader } from '../../src/wire/data-reader.ts';
import { bareReply, formatReply, type Reply, reply } from '../../src/wire/reply.ts';
import { ReplyReader } from '../../src/wire/reply-reader.ts';
import { lmtp, type Owner, outcome, smtp } from '../wire/conversation.ts';
import { describeCut, latin1 } from '../wire/cuts.ts';
import { escaped, meaningOf } from '../wire/data-model.ts';

fc.configureGlobal({ baseSize: 'large' });
const runs = { numRuns: 6000 };

const octet = fc.integer({ min: 0, max: 255 }).map(code => String.fromCharCode(code));

function oneOf(...pieces: string[]): fc.Arbitrary<string> {
  return fc.constantFrom(...pieces);
}

/** The text cut at random places. */
function cut(text: string, places: readonly number[]): string[] {
  const chunks: string[] = [];
  let at = 0;
  for (const place of [...new Set(places)].sort((a, b) => a - b)) {
    if (place <= at || place >= text.length) continue;
    chunks.push(text.slice(at, place));
    at = place;
  }
  chunks.push(text.slice(at));
  return chunks.filter(chunk => chunk !== '');
}

/** A text and a way to cut it. */
function cutText(text: fc.Arbitrary<string>): fc.Arbitrary<string[]> {
  return text.chain(whole =>
    fc.array(fc.nat({ max: whole.length }), { maxLength: 12 }).map(places => cut(whole, places)),
  );
}

const lineEnds = ['\r', '\n', '\r\n', '.', '..', '\r\n.', '\r\n.\r\n', '\n.\r\n', '\r\n.\n', '\r.\r', '\r\r\n', '.\r'];
const dataText = fc
  .array(fc.oneof({ weight: 6, arbitrary: oneOf(...lineEnds, 'a', '\0', '\xa0') }, octet), { maxLength: 40 })
  .map(join);

function join(pieces: string[]): string {
  return pieces.join('');
}

test('DataReader means what a byte-wise reading of RFC 5321 means', () => {
  fc.assert(
    fc.property(cutText(dataText), chunks => {
      const wire = chunks.join('');
      const { end, broken, text } = meaningOf(wire);
      const reader = new DataReader();
      let found = -1;
      let before = 0;
      let read = '';
      for (const chunk of chunks) {
        const piece = reader.feed(latin1(chunk));
        read += piece.text;
        if (piece.end >= 0) {
          found = before + piece.end;
          break;
        }
        before += chunk.length;
      }
      assert.deepEqual([found, reader.broken], [end, broken], describeCut(chunks));
      if (end < 0) return;
      assert.equal(reader.wireOctets, end - 3);
      if (broken) return;
      assert.equal(read, text);
      assert.equal(reader.octets, text.length);
    }),
    { numRuns: 40_000 },
  );
});

const line = fc.array(fc.oneof({ weight: 3, arbitrary: oneOf('.', '..', 'a', '\xa0', ' ') }, octet), { maxLength: 8 });
const goodText = fc
  .array(
    line.map(pieces => pieces.join('').replace(/[\r\n\0]/g, '')),
    { maxLength: 12 },
  )
  .map(lines => lines.map(each => `${each}\r\n`).join(''));

test('a message in good form comes back from its wire form', () => {
  fc.assert(
    fc.property(goodText, fc.array(fc.nat(200), { maxLength: 10 }), (text, places) => {
      const wire = escaped(text);
      const chunks = cut(`EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n${wire}.\r\n`, places);
      const { messages } = outcome(chunks);
      assert.deepEqual(
        messages.map(message => [message.fault, message.wire, message.text]),
        [[null, wire, text]],
      );
    }),
    runs,
  );
});

const address = fc
  .array(
    fc.oneof({ weight: 5, arbitrary: oneOf('a', '@', 'b.c', '"', '\\', '>', '<', ' ', '\xa0', '550-1.1@x') }, octet),
    { maxLength: 6 },
  )
  .map(join);
const path = address.map(text => `<${text}>`);
const parameter = fc.oneof(
  oneOf(
    'SIZE=10',
    'size=99999',
    'SIZE=',
    'BODY=8BITMIME',
    'SMTPUTF8',
    'RET=FULL',
    'ENVID=a',
    'AUTH=<>',
    'NOTIFY=NEVER',
    'ORCPT=rfc822;a',
  ),
  fc.array(octet, { maxLength: 5 }).map(join),
);
const parameters = fc.array(parameter, { maxLength: 3 }).map(words => words.map(word => ` ${word}`).join(''));
const command = fc.oneof(
  oneOf(
    'EHLO c',
    'HELO c',
    'LHLO c',
    'RSET',
    'NOOP',
    'VRFY',
    'DATA',
    'DATA',
    'QUIT',
    '',
    'XFORWARD NAME=x HELO=',
    'rcpt to:<c@d>',
  ),
  fc.tuple(oneOf('MAIL FROM:', 'mail from:', 'RCPT TO:'), path, parameters).map(join),
  oneOf('MAIL FROM:<a@b>', 'RCPT TO:<c@d>', 'MAIL FROM:<a@b>', 'RCPT TO:<c@d>', 'RCPT TO:<550-1.1@x>'),
  octet.map(text => text.repeat(4095)),
  fc.array(octet, { maxLength: 20 }).map(join),
);
const dialogue = fc
  .array(
    fc.oneof(
      { weight: 20, arbitrary: command.map(text => `${text}\r\n`) },
      { weight: 3, arbitrary: oneOf('MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<C@D>\r\nDATA\r\n') },
      { weight: 3, arbitrary: dataText },
      { weight: 2, arbitrary: dataText.map(text => `${text}\r\n.\r\n`) },
      { weight: 1, arbitrary: oneOf('\r\n.\r\n') },
    ),
    { maxLength: 25 },
  )
  .map(pieces => `EHLO c\r\nLHLO c\r\n${pieces.join('')}`);

const owner: Owner = {
  sender: ({ address }) => (address.includes('"') ? bareReply(550, `5.1.7 ${address}`) : undefined),
  recipient: ({ address }) =>
    address === '550-1.1@x' ? bareReply(550, '5.1.1 one', `5.1.1 ${'x'.repeat(600)}`) : undefined,
  data: ({ recipients }) => (recipients.length > 2 ? reply(451, '3.0', 'Later') : undefined),
};

test('a session does not notice how its octets are cut, never throws, and speaks in good form', () => {
  for (const options of [smtp, lmtp]) {
    fc.assert(
      fc.property(cutText(dialogue), chunks => {
        const whole = outcome([chunks.join('')], options, owner);
        assert.deepEqual(outcome(chunks, options, owner), whole);
        const lines = whole.output.split('\r\n');
        assert.equal(lines.pop(), '');
        for (const said of lines) {
          assert.match(said, /^[2-5][0-9]{2}[ -][^\0-\x1f\x7f]*$/);
          assert.ok(said.length <= 510);
        }
        assert.match(whole.output, /^220 /);
        // Every reply ends: a line with a blank behind its code, whose lines before it have the same one.
        for (const [index, said] of lines.entries()) {
          if (said[3] === '-') assert.equal(lines[index + 1]?.slice(0, 3), said.slice(0, 3));
        }
      }),
      runs,
    );
  }
});

test('the client reads the replies that the server writes', () => {
  const text = fc
    .array(fc.oneof(oneOf(' ', '-', '250 ', '\xa0'), octet), { maxLength: 10 })
    .map(pieces => join(pieces).replace(/[\0-\x1f\x7f]/g, '?'));
  const answer = fc
    .tuple(fc.integer({ min: 200, max: 599 }), text, fc.array(text, { maxLength: 4 }))
    .map(([code, first, rest]): Reply => bareReply(code, first, ...rest));
  fc.assert(
    fc.property(fc.array(answer, { maxLength: 5 }), fc.array(fc.nat(200), { maxLength: 10 }), (answers, places) => {
      const reader = new ReplyReader();
      const read = cut(answers.map(formatReply).join(''), places).flatMap(chunk => reader.feed(chunk));
      assert.deepEqual([read, reader.fault, reader.midReply], [answers, null, false]);
    }),
    runs,
  );
});

test('a client does not notice how replies and junk are cut', () => {
  const said = oneOf(
    '250 ok\r\n',
    '250-a\r\n',
    '250\r\n',
    '550 no\n',
    '354 go\r\n',
    '\r',
    '\n',
    '2',
    '50 ',
    '100 x\r\n',
    '\0',
    '-',
  );
  fc.assert(
    fc.property(
      cutText(fc.array(fc.oneof({ weight: 8, arbitrary: said }, octet), { maxLength: 20 }).map(join)),
      chunks => {
        const [whole, pieces] = [new ReplyReader(), new ReplyReader()];
        const expected = whole.feed(chunks.join(''));
        assert.deepEqual(
          chunks.flatMap(chunk => pieces.feed(chunk)),
          expected,
        );
        assert.deepEqual([pieces.fault, pieces.midReply], [whole.fault, whole.midReply]);
      },
    ),
    runs,
  );
});

const everything: Extensions = new Map([
  ...['SIZE', '8BITMIME', 'SMTPUTF8', 'DSN', 'AUTH'].map((keyword): [string, string[]] => [keyword, []]),
  ['XFORWARD', [...xforwardAttributes]],
]);

test('what a command line says goes on as it came, to a server that announces everything', () => {
  const mail = fc.tuple(fc.constant('MAIL FROM:'), path, parameters);
  const rcpt = fc.tuple(fc.constant('RCPT TO:'), path, parameters);
  let taken = 0;
  fc.assert(
    fc.property(fc.oneof(mail, rcpt).map(join), text => {
      const parsed = parseCommand(text);
      if ('refusal' in parsed) return;
      taken++;
      const { command } = parsed;
      assert.ok(command.verb === 'MAIL' || command.verb === 'RCPT');
      const again = command.verb === 'MAIL' ? mailCommand(command, everything) : rcptCommand(command, everything);
      // One line, no control octet: nothing can be smuggled into the next hop's dialogue.
      assert.match(again, /^[^\0-\x1f\x7f]+\r\n$/);
      assert.deepEqual(parseCommand(again.slice(0, -2)), parsed);
      assert.ok(text.includes(`<${command.address}>`));
    }),
    runs,
  );
  assert.ok(taken > runs.numRuns / 10, `only ${taken} were commands`);
});

test('XFORWARD attributes go on as they came', () => {
  const filled = fc.tuple(fc.nat({ max: 300 }), octet).map(([count, text]) => text.repeat(count));
  const value = fc.tuple(filled, fc.array(octet, { maxLength: 5 }).map(join)).map(join);
  const attribute = fc.record({ name: oneOf(...xforwardAttributes), value });
  fc.assert(
    fc.property(fc.array(attribute, { maxLength: 10 }), given => {
      const attributes = given.map(({ name, value }) => ({ name, value: value.replace(/[\0-\x20\x7f]/g, '') }));
      const again = xforwardCommands(attributes, everything).flatMap(text => {
        assert.ok(text.length < 512);
        const parsed = parseCommand(text.slice(0, -2));
        assert.ok('command' in parsed && parsed.command.verb === 'XFORWARD');
        return parsed.command.attributes;
      });
      assert.deepEqual(again, attributes);
    }),
    runs,
  );
});
