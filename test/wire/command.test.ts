import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Command, parseCommand } from '../../src/wire/command.ts';
import { commandOf, controls, pathOf, refusalOf } from './parsed.ts';

test('verbs, in any case', () => {
  const cases: [string, Command][] = [
    ['EHLO a.example', { verb: 'EHLO', name: 'a.example' }],
    ['ehlo [192.0.2.1]', { verb: 'EHLO', name: '[192.0.2.1]' }],
    ['HeLo\ta', { verb: 'HELO', name: 'a' }],
    ['LHLO  a  ', { verb: 'LHLO', name: 'a' }],
    ['EHLO \xa0b\xc3\xbc\xa0', { verb: 'EHLO', name: '\xa0b\xc3\xbc\xa0' }],
    ['DATA', { verb: 'DATA' }],
    ['data \t ', { verb: 'DATA' }],
    ['rSeT', { verb: 'RSET' }],
    ['QUIT', { verb: 'QUIT' }],
    ['NOOP', { verb: 'NOOP' }],
    ['noop anything <at> "all', { verb: 'NOOP' }],
    ['VRFY', { verb: 'VRFY' }],
    ['vrfy <a@b>', { verb: 'VRFY' }],
  ];
  for (const [line, command] of cases) assert.deepEqual(commandOf(line), command, line);
});

test('what is no command', () => {
  const lines = [
    '',
    ' ',
    '\t',
    'X',
    'MAILFROM:<a@b>',
    'MAI FROM:<a@b>',
    ' MAIL FROM:<a@b>',
    '\tNOOP',
    '\xa0NOOP',
    'NOOP\xa0',
    'NOOP\0',
    'NOOP\x0b',
    'QUIT;',
    'DATA\0',
    'STARTTLS',
    'AUTH PLAIN AGEAYg==',
    'BDAT 5 LAST',
    'EXPN list',
    'HELP',
    'SEND FROM:<a@b>',
    'ETRN a',
    'XCLIENT NAME=a',
    'GET / HTTP/1.1',
    'constructor',
    '__proto__',
    'dat\xe5',
    'x'.repeat(4094),
  ];
  for (const line of lines) assert.equal(refusalOf(line), '502 5.5.1', JSON.stringify(line));
});

test('commands in bad form', () => {
  const lines = [
    'EHLO',
    'EHLO ',
    'HELO\t',
    'LHLO',
    'EHLO a\0b',
    'EHLO a\x7f',
    'DATA now',
    'RSET x',
    'QUIT 0',
    'MAIL',
    'MAIL ',
    'MAIL FROM',
    'MAIL FROM:',
    'MAIL FROM: ',
    'MAIL FROM a@b',
    'MAIL FROM:a@b',
    'MAIL FROM :<a@b>',
    'MAIL <a@b>',
    'MAIL TO:<a@b>',
    'RCPT FROM:<a@b>',
    'RCPT TO:a@b',
    'RCPT TO:',
    'RCPT',
    'MAIL FROM:\xa0<a@b>',
    'MAIL FROM:x<a@b>',
    'MAIL FROM:<a@b',
    'MAIL FROM:<',
    'MAIL FROM:<a@b>>',
    'MAIL FROM:<a@b>SIZE=1',
    'MAIL FROM:<a@b>\xa0SIZE=1',
    'MAIL FROM:<a@b><c@d>',
    'XFORWARD',
    'XFORWARD ',
  ];
  for (const line of lines) assert.equal(refusalOf(line), '501 5.5.4', JSON.stringify(line));
});

test('addresses are kept octet for octet', () => {
  const addresses = [
    'a@b',
    'A.B@C.Example',
    '"a>b"@c',
    '"a \\"quoted\\" b"@c',
    '"\\\\"@c',
    'a\\>b@c',
    '@route1,@route2:a@b',
    'a@[192.0.2.1]',
    'a@[IPv6:::1]',
    'gr\xc3\xbc\xc3\x9fe@b\xc3\xbccher.example',
    '\xa0a\xa0@\xa0b\xa0',
    ' a@b ',
    '\xff\xfe@\x80',
    'postmaster',
    'a@b@c',
    "!#$%&'*+-/=?^_`{|}~@c",
  ];
  for (const address of addresses) {
    for (const [line, verb] of [
      [`MAIL FROM:<${address}>`, 'MAIL'],
      [`mail from: \t<${address}>`, 'MAIL'],
      [`RCPT TO:<${address}>`, 'RCPT'],
      [`rcpt\tto:<${address}> \t`, 'RCPT'],
    ] as const) {
      assert.deepEqual(commandOf(line), { verb, address, parameters: new Map() }, line);
    }
  }
});

test('the null address is a sender and no recipient', () => {
  assert.equal(pathOf('MAIL FROM:<>').address, '');
  assert.equal(refusalOf('RCPT TO:<>'), '501 5.1.3');
});

test('addresses that cannot be: control characters, unbalanced quotes', () => {
  const addresses = ['"a@b', 'a"@b', '"a\\"@b', '<a@b', 'a<b@c', '"a"b"@c'];
  for (const control of controls) {
    addresses.push(`a${control}@b`, `"a${control}"@b`, `a\\${control}@b`, `"a\\${control}"@b`, `a@b${control}`);
  }
  for (const address of addresses) {
    assert.equal(refusalOf(`MAIL FROM:<${address}>`), '501 5.1.7', JSON.stringify(address));
    assert.equal(refusalOf(`RCPT TO:<${address}>`), '501 5.1.3', JSON.stringify(address));
  }
});

test('XFORWARD takes whatever Postfix sends', () => {
  const cases: [string, [name: string, value: string][]][] = [
    ['NAME=client.example', [['NAME', 'client.example']]],
    ['name=[UNAVAILABLE]', [['NAME', '[UNAVAILABLE]']]],
    [
      'ADDR=IPv6:fd55::1 PORT=60798',
      [
        ['ADDR', 'IPv6:fd55::1'],
        ['PORT', '60798'],
      ],
    ],
    ['HELO=xtext+20with+3Dsigns', [['HELO', 'xtext+20with+3Dsigns']]],
    ['HELO=not_a-dns..name/', [['HELO', 'not_a-dns..name/']]],
    [
      'PROTO=ESMTP \t SOURCE=LOCAL',
      [
        ['PROTO', 'ESMTP'],
        ['SOURCE', 'LOCAL'],
      ],
    ],
    ['IDENT=4WxYz12', [['IDENT', '4WxYz12']]],
    ['NAME=', [['NAME', '']]],
    ['NAME==a=b', [['NAME', '=a=b']]],
    ['NAME=\xa0b\xc3\xbc\xa0', [['NAME', '\xa0b\xc3\xbc\xa0']]],
    [
      'NAME=a NAME=b',
      [
        ['NAME', 'a'],
        ['NAME', 'b'],
      ],
    ],
    [`NAME=${'x'.repeat(4000)}`, [['NAME', 'x'.repeat(4000)]]],
  ];
  for (const [words, attributes] of cases) {
    const expected = { verb: 'XFORWARD', attributes: attributes.map(([name, value]) => ({ name, value })) };
    assert.deepEqual(commandOf(`xforward ${words}`), expected, words);
  }
});

test('XFORWARD in bad form', () => {
  for (const words of ['NAME', 'NAME a', 'LOGIN=x', '=x', 'NAME =x', 'NAME=a LOGIN=b', 'N\xc4ME=a', '__proto__=x']) {
    assert.equal(refusalOf(`XFORWARD ${words}`), '501 5.5.4', words);
  }
  for (const control of controls) {
    if (control !== '\t') assert.equal(refusalOf(`XFORWARD HELO=a${control}b`), '501 5.5.4', JSON.stringify(control));
  }
});

test('long lines of blanks, quotes, backslashes and parameters take linear time', () => {
  const before = process.cpuUsage().user;
  const size = 1 << 20;
  const long = (octets: string) => octets.repeat(size / octets.length);
  for (const line of [
    `EHLO${long(' ')}x`,
    `EHLO x${long(' \t')}y`,
    `MAIL FROM:${long(' ')}`,
    `MAIL FROM:<${long('"')}>`,
    `MAIL FROM:<${long('\\')}`,
    `MAIL FROM:<a@b>${long(' ')}x`,
    `MAIL FROM:<a@b>${long(' X=1')}`,
    `MAIL FROM:<a@b> ENVID=${long('x')}`,
    `RCPT TO:<a@b> NOTIFY=${long('SUCCESS,')}`,
    `RCPT TO:<a@b> ORCPT=${long(';')}`,
    `XFORWARD${long(' NAME=a ')}`,
    `XFORWARD${long('\t')}=`,
  ]) {
    parseCommand(line);
  }
  assert.ok(process.cpuUsage().user - before < 3_000_000);
});
