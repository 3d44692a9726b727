import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { fitsHeader, httpStatus, readEnvelope } from '../../src/wire/mxdeliv.ts';
import { bareReply, type Reply, reply } from '../../src/wire/reply.ts';

type Line = readonly [name: string, value: string];

const from: Line = ['X-MAIL-FROM', 'a@b'];
const to = (value: string): Line => ['X-MAIL-TO', value];

function read(...lines: readonly Line[]) {
  return readEnvelope(lines.flat());
}

function addresses(...lines: readonly Line[]): string[] {
  const result = read(...lines);
  assert.ok('envelope' in result, JSON.stringify(result));
  return result.envelope.recipients.map(({ address }) => address);
}

function refusal(...lines: readonly Line[]): Reply {
  const result = read(...lines);
  assert.ok('refusal' in result, JSON.stringify(result));
  return result.refusal;
}

function assertRefused(expected: RegExp, ...lines: readonly Line[]): void {
  const { code, lines: texts } = refusal(...lines);
  assert.match(`${code} ${texts.join('\n')}`, expected, JSON.stringify(lines));
}

const badRecipient = /^501 5\.1\.3 /;
const badSender = /^501 5\.1\.7 /;

describe('recipients', () => {
  test('one a header, in their order, repeated ones too', () => {
    assert.deepEqual(addresses(from, to('c@d'), ['Host', 'x'], to('e@f'), to('c@d')), ['c@d', 'e@f', 'c@d']);
  });

  test('the name in any case', () => {
    for (const name of ['x-mail-to', 'X-Mail-To', 'X-MAIL-to', 'x-MAIL-TO'])
      assert.deepEqual(addresses([name, 'c@d']), ['c@d']);
  });

  test('other names do not count', () => {
    for (const name of ['X-MAIL-TOO', 'MAIL-TO', 'X_MAIL_TO', 'X-MAIL-TO ', 'X-MAIL-T0', 'To']) {
      assertRefused(/^501 5\.5\.4 /, from, [name, 'c@d']);
    }
  });

  const lists: [value: string, expected: string[]][] = [
    ['c@d,e@f', ['c@d', 'e@f']],
    ['c@d, e@f', ['c@d', 'e@f']],
    [' c@d\t,\t e@f ', ['c@d', 'e@f']],
    [',c@d,, ,e@f,', ['c@d', 'e@f']],
    ['"c,x"@d,e@f', ['"c,x"@d', 'e@f']],
    ['"c\\",x"@d,e@f', ['"c\\",x"@d', 'e@f']],
    ['"c\\\\",e@f', ['"c\\\\"', 'e@f']],
    ['c\\,x@d,e@f', ['c\\,x@d', 'e@f']],
    ['c\\"@d,e@f', ['c\\"@d', 'e@f']],
    ['c\\\\,e@f', ['c\\\\', 'e@f']],
    ['"","c d"@e', ['""', '"c d"@e']],
  ];
  for (const [value, expected] of lists) {
    test(`a list: ${value}`, () => assert.deepEqual(addresses(to(value)), expected));
  }

  test('what stays as it is', () => {
    const kept = [
      'postmaster',
      'a@[192.0.2.1]',
      'a@[IPv6:2001:db8::1]',
      '"a b"@c',
      '"a<b>c"@d',
      '"a> NOTIFY=NEVER"@d',
      '"a\\"b"@c',
      '"a\\ b"@c',
      '"\\<"@c',
      'a\\"b@c',
      'a%b!c@d',
      '@r:a@b',
      "!#$%&'*+-/=?^_`{|}~@b",
      'gr\xc3\xbc\xc3\x9fe@b\xc3\xbccher.example',
    ];
    for (const address of kept) assert.deepEqual(addresses(to(address)), [address]);
  });

  test('what is no bare address', () => {
    const values = [
      '<c@d>',
      '<>',
      'c@d>',
      '<c@d',
      'c@d e@f',
      'c @d',
      'c@d\te@f',
      'c@d> NOTIFY=NEVER',
      'c@d>\r\n',
      'c@d>\r\nRCPT TO:<x@y',
      'c@d\r\nX',
      'c@d\rX',
      'c@d\0',
      'c\x7f@d',
      'c\\ d@e',
      'c\\>d@e',
      'c\\<d@e',
      'c@d\\',
      '"c@d',
      'c"@d',
      '"c\\"@d',
      '"c\r\nd"@e',
      '"c\\\rd"@e',
      '"c\\\nd"@e',
      '"c\td"@e',
      '"c\0"@d',
      'Somebody <c@d>',
      '"Some, body" <c@d>',
      '"a" b"c" @d',
      'c@d\x0c',
    ];
    for (const value of values) {
      assertRefused(badRecipient, from, to(value));
      assertRefused(badRecipient, from, to('good@one.test'), to(value));
      assertRefused(badRecipient, from, to(value), to('good@one.test'));
      assertRefused(badSender, ['X-MAIL-FROM', value], to('good@one.test'));
    }
  });

  test('a quote or a backslash left open in one header does not reach into the next', () => {
    assertRefused(badRecipient, to('"c@d'), to('"@e'));
    assertRefused(badRecipient, to('c@d\\'), to('e@f'));
  });

  test('none', () => {
    for (const lines of [[], [to('')], [to(' ')], [to(',')], [to(' , ,'), to('')]]) {
      assertRefused(/^501 5\.5\.4 /, from, ...lines);
    }
    assertRefused(/^501 5\.5\.4 /);
  });

  test('a thousand at most, however they come', () => {
    const some = (count: number) => Array.from({ length: count }, (_, n) => `r${n}@one.test`);
    assert.deepEqual(addresses(...some(1000).map(to)), some(1000));
    assert.deepEqual(addresses(to(some(1000).join(', '))), some(1000));
    assertRefused(/^452 4\.5\.3 /, ...some(1001).map(to));
    assertRefused(/^452 4\.5\.3 /, to(some(1001).join(',')));
    assertRefused(/^452 4\.5\.3 /, to(some(500).join(',')), ...some(501).map(to));
  });

  test('one that no command line would hold', () => {
    const long = (length: number) => `${'x'.repeat(length - 2)}@c`;
    assert.deepEqual(addresses(to(long(4000))), [long(4000)]);
    for (const length of [4096, 10_000, 60_000]) {
      assertRefused(badRecipient, to(long(length)));
      assertRefused(badRecipient, to(`"${'\\"'.repeat(length / 2)}"@c`));
      assertRefused(badSender, ['X-MAIL-FROM', long(length)], to('c@d'));
    }
  });
});

describe('the sender', () => {
  test('absent or empty: the null sender', () => {
    for (const lines of [[], [['X-MAIL-FROM', '']], [['X-MAIL-FROM', ' \t']]] as Line[][]) {
      const result = read(...lines, to('c@d'));
      assert.equal('envelope' in result && result.envelope.from.address, '');
    }
  });

  test('as it came', () => {
    for (const address of ['a@b', 'A@B', '"a,b"@c', '"a b"@c', 'a\\,b@c']) {
      const result = read(['x-mail-FROM', address], to('c@d'));
      assert.equal('envelope' in result && result.envelope.from.address, address);
    }
  });

  test('more than one', () => {
    assertRefused(badSender, from, from, to('c@d'));
    assertRefused(badSender, from, ['x-mail-from', 'e@f'], to('c@d'));
    assertRefused(badSender, ['X-MAIL-FROM', 'a@b, e@f'], to('c@d'));
  });

  test('no angle brackets, not even for the null sender', () => {
    assertRefused(badSender, ['X-MAIL-FROM', '<>'], to('c@d'));
    assertRefused(badSender, ['X-MAIL-FROM', '<a@b>'], to('c@d'));
  });
});

test('SMTPUTF8 is asked for when an address has octets beyond ASCII, and only then', () => {
  const asks = (...lines: Line[]) => {
    const result = read(...lines);
    assert.ok('envelope' in result);
    assert.deepEqual(result.envelope.xforward, []);
    for (const { parameters } of result.envelope.recipients) assert.equal(parameters.size, 0);
    return result.envelope.from.parameters.has('SMTPUTF8');
  };
  assert.equal(asks(from, to('c@d')), false);
  assert.equal(asks(to('c@d')), false);
  assert.equal(asks(from, to('c@d'), to('\xc3\xa9@d')), true);
  assert.equal(asks(['X-MAIL-FROM', '\xc3\xa9@d'], to('c@d')), true);
  assert.equal(asks(['Subject', '\xc3\xa9'], from, to('c@d')), false);
});

test('the HTTP status of a reply', () => {
  const cases: [Reply, number][] = [
    [reply(250, '0.0', 'Ok'), 200],
    [reply(252, '0.0', 'Perhaps'), 200],
    [bareReply(250, 'one', 'two'), 200],
    [reply(552, '3.4', 'Message exceeds maximum size'), 413],
    [reply(552, '2.2', 'Mailbox full'), 400],
    [bareReply(552, 'too large'), 400],
    [bareReply(552, '5.3.40 no such code'), 400],
    [bareReply(552, 'said: 5.3.4 too large'), 400],
    [reply(452, '3.4', 'Message too big for now'), 400],
    [reply(523, '0.0', 'Encryption Needed'), 400],
    [reply(554, '7.1', 'No valid DKIM signature found'), 400],
    [reply(451, '3.0', 'Internal error'), 400],
    [reply(354, '0.0', 'Go on'), 400],
    [reply(199, '0.0', 'Nonsense'), 400],
  ];
  for (const [answer, status] of cases) assert.equal(httpStatus(answer), status, JSON.stringify(answer));
});

/** How Postfix finds the end of a path in a command: what stands behind it would be a parameter. */
function hasUnquoted(address: string, wanted: RegExp): boolean {
  let inQuotes = false;
  for (let at = 0; at < address.length; at++) {
    const octet = address[at] ?? '';
    if (octet === '\\' && wanted.test(inQuotes ? '' : (address[at + 1] ?? ''))) return true;
    if (octet === '\\') at++;
    else if (octet === '"') inQuotes = !inQuotes;
    else if (!inQuotes && wanted.test(octet)) return true;
  }
  return inQuotes;
}

test('property: whatever the headers say, an accepted address is one word of a command', () => {
  const tempting = fc.constantFrom(
    '"',
    '\\',
    '<',
    '>',
    ' ',
    '\t',
    ',',
    '@',
    'a',
    '\r',
    '\n',
    '\0',
    '\x7f',
    '\xc3\xa9',
    '\xff',
  );
  const value = fc.oneof(
    fc.array(tempting, { maxLength: 12 }).map(parts => parts.join('')),
    fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 20 }).map(octets => String.fromCharCode(...octets)),
  );
  const name = fc.constantFrom('X-MAIL-TO', 'x-mail-to', 'X-MAIL-FROM', 'X-Other');
  let accepted = 0;
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 5 }), lines => {
      const result = readEnvelope(lines.flat());
      if ('refusal' in result) return;
      accepted++;
      const { from, recipients } = result.envelope;
      assert.ok(recipients.length > 0);
      for (const { address } of [from, ...recipients]) {
        assert.doesNotMatch(address, /[\0-\x1f\x7f]/);
        assert.ok(!hasUnquoted(address, /[ \t\r\n<>]/), JSON.stringify(address));
        assert.ok(address === from.address || address !== '');
      }
    }),
    { numRuns: 5000 },
  );
  assert.ok(accepted > 200, `${accepted} accepted: too few to show anything`);
});

test('property: no header that names a recipient is passed over', () => {
  const value = fc.array(fc.constantFrom('"', '\\', ',', ' ', 'a', '@'), { maxLength: 8 }).map(parts => parts.join(''));
  fc.assert(
    fc.property(value, text => {
      fc.pre(/[^ ,]/.test(text));
      const result = readEnvelope(['X-MAIL-TO', 'good@one.test', 'X-MAIL-TO', text]);
      assert.ok('refusal' in result || result.envelope.recipients.length > 1, JSON.stringify(text));
    }),
    { numRuns: 2000 },
  );
});

test('a value of 64 KiB takes no time, whatever is in it', () => {
  for (const part of ['"', '\\', ',', '\\"', '"a"', 'a', '"\\', ', ', ' ', '""@', '"",']) {
    const value = part.repeat(Math.floor(65_536 / part.length));
    const began = performance.now();
    read(to(value));
    read(['X-MAIL-FROM', value], to('a@b'));
    assert.ok(performance.now() - began < 200, part);
  }
});

test('addresses that a header can carry to another server', () => {
  for (const address of ['', 'a@b.test', '"a, b"@c.test', '"<>"@c.test', 'a\\,b@c.test'])
    assert.equal(fitsHeader(address), true, address);
  for (const address of [
    'vic@three.test,u@two.test',
    'a@b.test,',
    ',a@b.test',
    ' a@b.test',
    '<a@b.test>',
    'a b@c.test',
    '\xe4@b.test',
  ])
    assert.equal(fitsHeader(address), false, address);
});
