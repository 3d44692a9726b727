// Signatures of whole messages over the real sockets: bodies of every shape and size, several signatures, octet for octet.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Signer } from '../peers/signer.ts';
import { sealed } from '../relay/mail.ts';
import { entrances, http, smtp } from './entrances.ts';
import {
  type Expected,
  encryptedLine,
  Gate,
  noSignature,
  noValidSignature,
  passed,
  play,
  unencryptedLine,
} from './incoming-gate.ts';
import { author, letter, me, readableText, type Signing, sealedBy, signed, zeroes } from './incoming-mail.ts';
import { plain, wire } from './mail.ts';
import { sha256 } from './next-hop.ts';

const two = author('two.test');
const other = author('two.test', 's2');
const list = author('list.test');
const free = 'free@one.test';
const domain = 'big.test';
const signers = [
  new Signer(domain, 'rsa'),
  new Signer(domain, 'simple', { canonicalization: 'simple/simple' }),
  new Signer(domain, 'ed', { algorithm: 'ed25519-sha256', canonicalization: 'relaxed/simple' }),
];

let gate: Gate;
const open = () => gate;

before(async () => {
  gate = await Gate.open([two, other, list]);
  for (const signer of signers) gate.dns.txt(signer.name, [signer.record]);
});

const passes = (line = unencryptedLine): Expected => ({
  reply: passed,
  log: [line],
  envelope: [`MAIL FROM:<${me}>`, `RCPT TO:<${free}>`],
});
const refused = (detail: string, line = unencryptedLine): Expected => ({
  reply: noValidSignature,
  log: [
    line,
    new RegExp(
      `^WARN Incoming: refused mail from ${me}: No valid DKIM signature found; ${detail}.*; kept as /.*\\.eml$`,
    ),
  ],
});
const toFree = (message: string) => letter(message, { to: [free] });

const bodies: [name: string, body: string][] = [
  ['lines that begin with dots', '.\r\n..\r\n...\r\n.a\r\n\r\n.\r\nb\r\n'],
  ['nothing but a line with a dot', '.\r\n'],
  ['no line end', 'Hello'],
  ['a dot and no line end', '.'],
  ['nothing', ''],
  ['empty lines', '\r\n\r\n\r\n'],
  ['empty lines at the end', 'Hello\r\n\r\n\r\n'],
  ['blanks everywhere', ' a \t b\t\r\n \t\r\n  c  \r\n \t \r\n'],
  ['8-bit octets', 'caf\xe9 \x80\xff\x7f\x01\r\n'],
  ['UTF-8', Buffer.from('Grüße, 你好 🙂\r\n').toString('latin1')],
  ['a line of 100,000 octets', `${'x'.repeat(100_000)}\r\n`],
  ['a line of 100,000 blanks', `a${' '.repeat(100_000)}b\r\n`],
  ['what looks like a header', 'From: <eve@three.test>\r\n\r\nHello\r\n'],
];
const forms = [
  { header: 'relaxed', body: 'relaxed' },
  { header: 'simple', body: 'simple' },
  { header: 'relaxed', body: 'simple' },
] as const;

describe('bodies', () => {
  for (const [name, body] of bodies) {
    const message = readableText(me, body);
    test(name, async () => {
      for (const entrance of entrances) {
        for (const form of forms) await gate.expects(entrance, toFree(signed(two, message, form)), passes());
      }
    });
    play(
      open,
      `${name}, and a line more than was signed`,
      () => toFree(`${signed(two, message)}${message.endsWith('\r\n') ? '' : '\r\n'}x\r\n`),
      refused('d=two\\.test s=s1: body hash does not match'),
    );
  }

  for (const form of forms) {
    play(
      open,
      `no blank line behind the header, ${form.header}/${form.body}`,
      () => toFree(signed(two, `From: <${me}>\r\nSubject: x\r\n`, form)),
      passes(),
    );
  }
  play(
    open,
    'blanks that change on the way: relaxed forgives',
    () =>
      toFree(signed(two, readableText(me, 'a b\r\n')).replace('a b', 'a \t b  ').replace('Subject: x', 'subject:  x ')),
    passes(),
  );
  play(
    open,
    'blanks that change on the way: simple does not',
    () => toFree(signed(two, readableText(me, 'a b\r\n'), { body: 'simple' }).replace('a b', 'a  b')),
    refused('d=two\\.test s=s1: body hash does not match'),
  );
});

describe('sizes, by another signer', () => {
  for (const size of [700_000, 22_000_000]) {
    for (const signer of signers) {
      test(`${size} octets, ${signer.selector}`, async () => {
        const from = `me@${domain}`;
        const message = await signer.sign(sealed({ from, size }));
        const mail = { from, to: [free], wire: wire(message) };
        const expected = {
          reply: passed,
          log: [encryptedLine],
          envelope: [`MAIL FROM:<${from}>`, `RCPT TO:<${free}>`],
        };
        for (const entrance of entrances) await gate.expects(entrance, mail, expected);
      });
    }
  }

  test('as many octets as allowed, many of the lines with dots; one more is refused', async () => {
    const limit = 40_000;
    const small = await Gate.open([two], { max_message_size: limit });
    const dots = '.\r\n'.repeat(5000);
    const head = signed(two, readableText(me, dots + 'x'.repeat(1000))).length;
    const whole = (length: number) =>
      signed(two, readableText(me, `${dots}${'x'.repeat(1000 + length - head - 2)}\r\n`));
    assert.equal(whole(limit).length, limit);
    for (const entrance of entrances) {
      const tooLarge = {
        reply: '552 5.3.4 Message exceeds maximum size',
        log: [unencryptedLine, /^WARN Incoming: refused message/],
      };
      await small.expects(entrance, toFree(whole(limit + 1)), tooLarge);
      // A Content-Length counts the dots that escape, and is judged before there is anything to unescape.
      await small.expects(entrance, toFree(whole(limit)), entrance.name === 'HTTP' ? tooLarge : passes());
    }
    await small.stop();
  });

  for (const [fields, reply] of [
    [1000, passed],
    [1001, '552 5.3.4 Message header too large'],
  ] as const) {
    test(`${fields} header fields`, async () => {
      for (const entrance of entrances) {
        const more = 'X: y\r\n'.repeat(fields - 4);
        const mail = toFree(signed(two, `${more}${readableText()}`));
        assert.equal((await gate.sent(entrance, mail)).reply, reply);
        assert.equal(gate.hop.take().length, reply === passed ? 1 : 0);
      }
    });
  }
});

describe('several signatures', () => {
  const bad: Signing = { spoil: zeroes };
  const message = sealedBy(two);
  const mismatch = 'd=two\\.test s=s1: signature does not match';
  const unaligned = 'd=list\\.test: not the From domain';
  const times = (count: number, signing: Signing, text: string) => {
    let whole = text;
    for (let n = 0; n < count; n++) whole = signed(two, whole, signing);
    return whole;
  };

  for (const [name, text] of [
    ['a bad one above a good one', () => signed(two, message, bad)],
    ['a good one above a bad one', () => signed(two, sealedBy(two, undefined, bad))],
    ['a good one of another selector', () => signed(other, sealedBy(two, undefined, bad))],
    ['of a selector that does not exist', () => signed({ ...two, selector: 'none' }, message)],
    ['an unaligned one above a good one', () => signed(list, message)],
    ['a malformed one above a good one', () => `DKIM-Signature: what\r\nDKIM-Signature:\r\n${message}`],
    ['nine bad ones and a good one', () => times(9, bad, message)],
    ['50 unaligned ones above a good one', () => `${'DKIM-Signature: v=1; d=x.test\r\n'.repeat(50)}${message}`],
  ] as const) {
    play(open, `${name} pass`, () => toFree(text()), passes(encryptedLine));
  }

  const sealedText = message.slice(message.search(/^From/m));
  play(open, 'none', () => toFree(sealedText), {
    reply: noSignature,
    log: [
      encryptedLine,
      new RegExp(`^WARN Incoming: refused mail from ${me}: No DKIM signature found; kept as /.*\\.eml$`),
    ],
  });
  for (const [name, text, detail] of [
    ['an unaligned one', () => signed(list, sealedText), unaligned],
    ['two unaligned ones', () => signed(list, signed(list, sealedText)), `${unaligned}; ${unaligned}`],
    ['a bad one', () => sealedBy(two, undefined, bad), mismatch],
    ['a bad one and an unaligned one', () => signed(list, sealedBy(two, undefined, bad)), `${mismatch}; ${unaligned}`],
    ['ten bad ones above a good one', () => times(10, bad, message), Array(10).fill(mismatch).join('; ')],
    ['a malformed one', () => `DKIM-Signature: v=1; d=two.test; a=rsa-sha1\r\n${sealedText}`, 'algorithm'],
    [
      'one of a missing key',
      () => signed({ ...two, selector: 'none' }, sealedText),
      'd=two\\.test s=none: no such name',
    ],
    ['a foreign field with another name', () => message.replace('DKIM-Signature', 'X-DKIM-Signature'), ''],
  ] as const) {
    if (detail === '') continue;
    play(open, `${name}: refused`, () => toFree(text()), refused(detail, encryptedLine));
  }

  for (const [name, change] of [
    ['Subject', ['Subject: [...]', 'Subject: Hi']],
    ['From', [`From: <${me}>`, `From: Eve <${me}>`]],
    ['another address of the domain', [`From: <${me}>`, 'From: <eve@two.test>']],
  ] as const) {
    test(`${name} changed after signing`, async () => {
      for (const entrance of entrances) {
        const { reply } = await gate.sent(entrance, toFree(message.replace(change[0], change[1])));
        assert.equal(reply, noValidSignature);
      }
    });
  }
});

test('200 messages at once, half of them forged: each gets its own verdict and arrives once or not at all', async () => {
  await gate.logged(0);
  const mark = gate.filter.log.mark;
  gate.hop.take();
  const forge: Signing = { spoil: zeroes };
  const mails = Array.from({ length: 200 }, (_, n) =>
    letter(signed(two, readableText(me, `.${n}\r\n`.repeat(1 + n * 50)), n % 2 === 0 ? {} : forge), {
      to: [free, `free+${n}@one.test`],
    }),
  );
  const replies = await Promise.all(mails.map((mail, n) => (n % 4 < 2 ? smtp : http).send(gate.site, mail)));
  assert.deepEqual(
    replies,
    mails.map((_, n) => (n % 2 === 0 ? passed : noValidSignature)),
  );
  const arrived = gate.hop.take().map(({ sha256, commands }) => `${commands.at(-2)} ${sha256}`);
  const wanted = mails.flatMap(({ wire, to }, n) =>
    n % 2 === 0 ? [`RCPT TO:<${to[1]}> ${sha256(wire.subarray(0, -3))}`] : [],
  );
  assert.deepEqual(arrived.sort(), wanted.sort());
  const log = await gate.logged(mark);
  assert.equal(log.filter(line => line === unencryptedLine).length, 200);
  assert.equal(log.filter(line => / kept as /.test(line)).length, 100);
  assert.equal(log.length, 300);
});

test('a body that HTTP brings without its last CRLF is no message', async () => {
  const mail = plain('Hello', me, [free]);
  const cut = Buffer.from(`${signed(two, readableText(me, 'Hello'))}.\r\n`, 'latin1');
  assert.match(await http.send(gate.site, { ...mail, wire: cut }), /^550 5\.6\.0 /);
});

test('its log is one, and it ends well', () => gate.stop());
