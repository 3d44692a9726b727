// What Postfix gets: the commands and the octets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bench, pipeliningOrNot, spoolOf, withoutPipelining } from './delivery.ts';
import { postfixExtensions } from './scripted-server.ts';

test('the dialogue', async t => {
  for (const [name, extensions] of pipeliningOrNot) {
    const { server, deliver } = await opened(t, extensions);
    const xforward = [
      { name: 'NAME', value: '[UNAVAILABLE]' },
      { name: 'ADDR', value: 'IPv6:fd55::1' },
    ];
    const { answer, failure } = await deliver({ from: 'A@b', to: ['"x>y"@d', 'e@f', 'e@f'], xforward });
    assert.deepEqual([answer, failure], [{ code: 250, lines: ['2.0.0 Ok: queued as 0.1'] }, null], name);
    assert.deepEqual(server.peer(0).commands, [
      'EHLO [127.0.0.1]',
      'XFORWARD NAME=[UNAVAILABLE] ADDR=IPv6:fd55::1',
      'MAIL FROM:<A@b>',
      'RCPT TO:<"x>y"@d>',
      'RCPT TO:<e@f>',
      'RCPT TO:<e@f>',
      'DATA',
    ]);
    assert.deepEqual(server.messages, ['Subject: x\r\n\r\nhello\r\n']);
    assert.equal(server.peer(0).ranAhead, name === 'pipelined', name);
  }
});

test('the null sender, UTF-8 and odd octets in addresses', async t => {
  const { server, deliver } = await opened(t);
  const { answer } = await deliver({ from: '', to: ['gr\xc3\xbc\xa0\xff@d', 'a b@c', '@r:a@b'] });
  assert.equal(answer.code, 250);
  assert.deepEqual(server.peer(0).commands.slice(1, 5), [
    'MAIL FROM:<>',
    'RCPT TO:<gr\xc3\xbc\xa0\xff@d>',
    'RCPT TO:<a b@c>',
    'RCPT TO:<@r:a@b>',
  ]);
});

const allOctets = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).join('');

const contents: [name: string, wire: string][] = [
  ['nothing', ''],
  ['one line end', '\r\n'],
  ['dots', '..\r\n..x\r\n....\r\nx.\r\n.. \r\n..\r\n'],
  ['every octet but CR, LF and NUL', `${allOctets.replace(/[\r\n\0]/g, '')}\r\n`],
  ['one long line', `${'x'.repeat(100_000)}\r\n`],
  ['just one write', `${'x'.repeat(512 * 1024 - 2)}\r\n`],
  ['just more than one write', `${'x'.repeat(512 * 1024 - 1)}\r\n`],
  ['dot lines only, 3 MB', '..\r\n'.repeat(786_432)],
  ['5 MB of 8-bit octets', `${'\xa0..\xff\r\n'.repeat(873_813)}`],
];

test('the octets arrive as they were, from memory and from a file', { timeout: 60_000 }, async t => {
  for (const [how, extensions] of pipeliningOrNot) {
    for (const budget of [undefined, 400_000, 0]) {
      const { server, deliver } = await opened(t, extensions);
      for (const [name, wire] of contents) {
        const { answer } = await deliver({ wire, budget });
        assert.equal(answer.code, 250, name);
        assert.ok(server.messages.at(-1) === wire, `${name}, ${how}, budget ${budget}: other octets arrived`);
      }
      assert.equal(server.peers.length, 1);
    }
  }
});

test('a slow reader gets the same octets', async t => {
  const { server, deliver } = await opened(t);
  let pauses = 0;
  server.script = (stage, { socket }) => {
    if (stage === 'data' && pauses++ < 50) {
      socket.pause();
      setImmediate(() => socket.resume());
    }
    return undefined;
  };
  const wire = '0123456789abcdef..\r\n'.repeat(400_000);
  assert.equal((await deliver({ wire })).answer.code, 250);
  assert.ok(pauses > 10);
  assert.ok(server.messages[0] === wire);
});

test('a spool that was given up before is no empty message', async t => {
  for (const wire of ['x\r\n', '0123456789abcd\r\n'.repeat(100_000)]) {
    for (const budget of [undefined, 0]) {
      const { server, deliver } = await opened(t);
      const content = await spoolOf(wire, budget);
      content.discard();
      const { answer } = await deliver({ content });
      assert.deepEqual([answer.code, server.messages], [451, []], `${wire.length} octets, budget ${budget}`);
    }
  }
});

test('a spool that is given up under way never becomes a shorter message', { timeout: 20_000 }, async t => {
  // Lines end where pieces do: a part of it looks like a message.
  const wire = '0123456789abcd\r\n'.repeat(1_750_000);
  for (const budget of [undefined, 20_000_000, 0]) {
    const { server, deliver } = await opened(t);
    const content = await spoolOf(wire, budget);
    let paused = false;
    server.script = (stage, { socket }) => {
      if (stage !== 'data' || paused) return undefined;
      paused = true;
      // More is waiting than the kernel takes, so the sender has not come to the end.
      socket.pause();
      content.discard();
      setImmediate(() => socket.resume());
      return {};
    };
    const { answer } = await deliver({ content });
    assert.ok(paused);
    await server.until(() => answer.code === 250 || server.open === 0);
    const lengths = server.messages.map(message => message.length);
    assert.deepEqual(
      [lengths, answer.code],
      answer.code === 250 ? [[wire.length], 250] : [[], 451],
      `budget ${budget}`,
    );
  }
});

test('nothing of the message is sent before 354', async t => {
  for (const [, extensions] of pipeliningOrNot) {
    const { server, deliver } = await opened(t, extensions);
    server.script = stage => (stage === 'DATA' ? {} : undefined);
    const delivery = deliver();
    await server.until(() => server.peers[0]?.verbs.endsWith('DATA') === true);
    const peer = server.peer(0);
    server.script = () => undefined;
    peer.do('554 5.5.1 no');
    assert.equal((await delivery).answer.code, 554);
    await server.until(() => peer.closed);
    assert.equal(peer.verbs.replace(' QUIT', ''), 'EHLO MAIL RCPT DATA');
  }
});

test('parameters are forwarded where their extension is announced, and dropped where it is not', async t => {
  const from = {
    address: 'a@b',
    parameters: new Map([
      ['SIZE', '24'],
      ['BODY', '8BITMIME'],
      ['SMTPUTF8', null],
      ['RET', 'HDRS'],
      ['ENVID', 'x+20y'],
      ['AUTH', '<>'],
    ]),
  };
  const to = [
    { address: 'c@d', parameters: new Map([['NOTIFY', 'SUCCESS,DELAY']]) },
    { address: 'e@f', parameters: new Map([['ORCPT', 'rfc822;c+2Bx@d']]) },
  ];
  const cases: [extensions: string[], mail: string, rcpts: [string, string]][] = [
    [[], '', ['', '']],
    [['SIZE 100', '8BITMIME'], ' SIZE=24 BODY=8BITMIME', ['', '']],
    [['DSN'], ' RET=HDRS ENVID=x+20y', [' NOTIFY=SUCCESS,DELAY', ' ORCPT=rfc822;c+2Bx@d']],
    [['AUTH PLAIN', 'smtputf8'], ' SMTPUTF8 AUTH=<>', ['', '']],
    [
      postfixExtensions,
      ' SIZE=24 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+20y',
      [' NOTIFY=SUCCESS,DELAY', ' ORCPT=rfc822;c+2Bx@d'],
    ],
  ];
  for (const [extensions, mail, [one, two]] of cases) {
    const { server, deliver } = await opened(t, extensions);
    assert.equal((await deliver({ from, to })).answer.code, 250);
    const sent = server.peer(0).commands.slice(1, 4);
    assert.deepEqual(sent, [`MAIL FROM:<a@b>${mail}`, `RCPT TO:<c@d>${one}`, `RCPT TO:<e@f>${two}`]);
  }
});

test('XFORWARD: announced attributes only, in commands under 512 octets, none where it is not announced', async t => {
  const xforward = [
    { name: 'NAME', value: 'n'.repeat(250) },
    { name: 'ADDR', value: '192.0.2.1' },
    { name: 'HELO', value: 'h'.repeat(250) },
    { name: 'IDENT', value: 'xtext+20\xa0' },
  ];
  const cases: [announced: string, commands: string[]][] = [
    ['DSN', []],
    ['XFORWARD', []],
    ['XFORWARD ADDR SOURCE', ['XFORWARD ADDR=192.0.2.1']],
    [
      'XFORWARD NAME ADDR HELO IDENT',
      [`XFORWARD NAME=${'n'.repeat(250)} ADDR=192.0.2.1`, `XFORWARD HELO=${'h'.repeat(250)} IDENT=xtext+20\xa0`],
    ],
  ];
  for (const [announced, commands] of cases) {
    for (const more of [['PIPELINING'], []]) {
      const { server, deliver } = await opened(t, [announced, ...more]);
      assert.equal((await deliver({ xforward })).answer.code, 250);
      assert.deepEqual(
        server.peer(0).commands.filter(command => command.startsWith('XFORWARD')),
        commands,
      );
    }
  }
});

test('SMTPUTF8: needed and not offered is 553, and nothing is begun', async t => {
  const asked = { address: 'a@b', parameters: new Map([['SMTPUTF8', null]]) };
  const { server, deliver } = await opened(t, ['PIPELINING', '8BITMIME']);
  const { answer, failure } = await deliver({ from: asked, to: ['c@d', 'gr\xc3\xbc@d'] });
  assert.match(`${answer.code} ${answer.lines[0]}`, /^553 5\.6\.7 /);
  assert.ok(failure);
  await server.until(() => server.open === 0);
  assert.equal(server.peer(0).verbs.replace(' QUIT', ''), 'EHLO');
  // Asked for and not needed: an address is what counts.
  assert.equal((await deliver({ from: asked, wire: 'Subject: gr\xc3\xbc\r\n' })).answer.code, 250);
  assert.equal(server.peer(1).commands[1], 'MAIL FROM:<a@b>');
});

test('one connection serves many transactions, each with its own XFORWARD', async t => {
  for (const [, extensions] of pipeliningOrNot) {
    const { server, deliver } = await opened(t, extensions);
    for (const value of ['one', 'two', 'three']) {
      const { answer } = await deliver({ xforward: [{ name: 'NAME', value }], wire: `${value}\r\n` });
      assert.equal(answer.code, 250);
    }
    assert.deepEqual(server.messages, ['one\r\n', 'two\r\n', 'three\r\n']);
    assert.equal(server.peers.length, 1);
    assert.equal(server.peer(0).verbs, `EHLO${' XFORWARD MAIL RCPT DATA'.repeat(3)}`);
  }
});

test('1000 recipients with long addresses, pipelined or not', async t => {
  const to = Array.from({ length: 1000 }, (_, n) => `${'x'.repeat(2000)}${n}@d`);
  for (const extensions of [postfixExtensions, withoutPipelining]) {
    const { server, deliver } = await opened(t, extensions);
    assert.equal((await deliver({ to })).answer.code, 250);
    assert.deepEqual(
      server.peer(0).commands.filter(command => command.startsWith('RCPT')),
      to.map(address => `RCPT TO:<${address}>`),
    );
  }
});

async function opened(t: test.TestContext, extensions: readonly string[] = postfixExtensions) {
  const made = await bench(t, () => undefined, [...extensions]);
  return { server: made.server, deliver: made.deliver.bind(made) };
}
