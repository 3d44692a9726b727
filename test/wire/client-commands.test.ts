import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ForwardedAttribute, Parameters, ReversePath } from '../../src/message/envelope.ts';
import {
  type Extensions,
  mailCommand,
  needsSmtpUtf8,
  parseExtensions,
  rcptCommand,
  xforwardCommands,
} from '../../src/wire/client-commands.ts';
import { bareReply } from '../../src/wire/reply.ts';

function announced(...lines: string[]): Extensions {
  return parseExtensions(bareReply(250, 'server.example', ...lines));
}

function path(address: string, parameters: Record<string, string | null> = {}): ReversePath {
  return { address, parameters: new Map(Object.entries(parameters)) };
}

test('extensions from the answer to EHLO', () => {
  const cases: [lines: string[], [keyword: string, words: string[]][]][] = [
    [[], []],
    [['PIPELINING'], [['PIPELINING', []]]],
    [
      ['pipelining', 'Size 100'],
      [
        ['PIPELINING', []],
        ['SIZE', ['100']],
      ],
    ],
    [
      ['XFORWARD NAME  ADDR ', ' DSN'],
      [
        ['XFORWARD', ['NAME', 'ADDR']],
        ['DSN', []],
      ],
    ],
    [
      ['AUTH PLAIN LOGIN', 'AUTH=PLAIN'],
      [
        ['AUTH', ['PLAIN', 'LOGIN']],
        ['AUTH=PLAIN', []],
      ],
    ],
  ];
  for (const [lines, extensions] of cases) assert.deepEqual([...announced(...lines)], extensions, lines.join());
});

test('the first line names the server and announces nothing', () => {
  assert.equal(parseExtensions(bareReply(250, 'PIPELINING')).size, 0);
  assert.deepEqual([...parseExtensions(bareReply(250, 'SIZE 1', 'DSN')).keys()], ['DSN']);
});

const mail = { SIZE: '100', BODY: '8bitmime', SMTPUTF8: null, RET: 'HDRS', ENVID: 'a+20b', AUTH: '<>' };
const rcpt = { NOTIFY: 'NEVER', ORCPT: 'rfc822;a+2Bb@c' };

test('parameters go on only where their extension is announced', () => {
  const cases: [announced: string[], mail: string, rcpt: string][] = [
    [[], '', ''],
    [['PIPELINING', 'ENHANCEDSTATUSCODES', 'CHUNKING'], '', ''],
    [['SIZE'], ' SIZE=100', ''],
    [['SIZE 1'], ' SIZE=100', ''],
    [['size 0'], ' SIZE=100', ''],
    [['8BITMIME'], ' BODY=8bitmime', ''],
    [['SMTPUTF8'], ' SMTPUTF8', ''],
    [['DSN'], ' RET=HDRS ENVID=a+20b', ' NOTIFY=NEVER ORCPT=rfc822;a+2Bb@c'],
    [['AUTH PLAIN'], ' AUTH=<>', ''],
    [['BODY', 'RET', 'ENVID', 'NOTIFY', 'ORCPT'], '', ''],
    [
      ['AUTH PLAIN', 'DSN', 'SMTPUTF8', '8BITMIME', 'SIZE 1'],
      ' SIZE=100 BODY=8bitmime SMTPUTF8 RET=HDRS ENVID=a+20b AUTH=<>',
      ' NOTIFY=NEVER ORCPT=rfc822;a+2Bb@c',
    ],
  ];
  for (const [lines, mailWords, rcptWords] of cases) {
    const extensions = announced(...lines);
    assert.equal(mailCommand(path('a@b', mail), extensions), `MAIL FROM:<a@b>${mailWords}\r\n`, lines.join());
    assert.equal(rcptCommand(path('c@d', rcpt), extensions), `RCPT TO:<c@d>${rcptWords}\r\n`, lines.join());
  }
});

test('addresses go on as they came', () => {
  for (const address of ['', '"a>b\\""@C', '@r:a@b', 'a@[IPv6:::1]', '\xa0gr\xc3\xbc\xff@c', ' a ']) {
    assert.equal(mailCommand(path(address), announced()), `MAIL FROM:<${address}>\r\n`);
    assert.equal(rcptCommand(path(address), announced()), `RCPT TO:<${address}>\r\n`);
  }
});

test('SMTPUTF8 is needed when it was asked for and an address is not ASCII', () => {
  const asked: Parameters = new Map([['SMTPUTF8', null]]);
  const cases: [from: string, parameters: Parameters, recipients: string[], needed: boolean][] = [
    ['a@b', asked, ['c@d'], false],
    ['', asked, ['c@d'], false],
    ['\xc3\xbc@b', asked, ['c@d'], true],
    ['a@b', asked, ['c@d', 'c@\xc3\xbc'], true],
    ['a@b', asked, ['\x80@d'], true],
    ['a@b', asked, ['\x7f@d'], false],
    ['\xc3\xbc@b', new Map(), ['\xc3\xbc@d'], false],
    ['a@b', asked, [], false],
  ];
  for (const [address, parameters, recipients, needed] of cases) {
    const to = recipients.map(recipient => path(recipient));
    assert.equal(needsSmtpUtf8({ address, parameters }, to), needed, address + recipients);
  }
});

const attributes: ForwardedAttribute[] = [
  { name: 'NAME', value: '[UNAVAILABLE]' },
  { name: 'ADDR', value: 'IPv6:fd55::1' },
  { name: 'PORT', value: '60798' },
  { name: 'HELO', value: 'xtext+20\xa0' },
  { name: 'NAME', value: '' },
];

test('XFORWARD goes on where it is announced, attribute by attribute', () => {
  const cases: [announced: string[], commands: string[]][] = [
    [[], []],
    [['XFORWARD'], []],
    [['XCLIENT NAME ADDR'], []],
    [['XFORWARD SOURCE IDENT'], []],
    [['XFORWARD ADDR'], ['XFORWARD ADDR=IPv6:fd55::1\r\n']],
    [['xforward helo name'], ['XFORWARD NAME=[UNAVAILABLE] HELO=xtext+20\xa0 NAME=\r\n']],
    [
      ['XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE'],
      ['XFORWARD NAME=[UNAVAILABLE] ADDR=IPv6:fd55::1 PORT=60798 HELO=xtext+20\xa0 NAME=\r\n'],
    ],
  ];
  for (const [lines, commands] of cases) {
    assert.deepEqual(xforwardCommands(attributes, announced(...lines)), commands, lines.join());
  }
  assert.deepEqual(xforwardCommands([], announced('XFORWARD NAME')), []);
});

test('XFORWARD commands stay under 512 octets, with every attribute once and in order', () => {
  const extensions = announced('XFORWARD NAME HELO');
  for (let octets = 0; octets < 520; octets++) {
    const given = [
      { name: 'NAME', value: 'n'.repeat(240) },
      { name: 'HELO', value: 'h'.repeat(octets) },
      { name: 'NAME', value: 'm' },
    ];
    const commands = xforwardCommands(given, extensions);
    const words = commands.flatMap(command => {
      assert.match(command, /^XFORWARD( [A-Z]+=[a-z]*)+\r\n$/);
      return command.trimEnd().split(' ').slice(1);
    });
    assert.deepEqual(
      words,
      given.map(({ name, value }) => `${name}=${value}`),
    );
    for (const command of commands) assert.ok(command.length < 512 || !command.trimEnd().includes(' ', 9));
    // No needless commands either: two neighbours never fit into one.
    const joined = commands.slice(1).map((next, n) => (commands[n]?.length ?? 0) + next.length - 'XFORWARD\r\n'.length);
    for (const length of joined) assert.ok(length >= 512, `${octets}: ${length}`);
  }
});
