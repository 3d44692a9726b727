// A server that breaks off, speaks out of turn, or never stops speaking: nothing is delivered and 451 says so, at once.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { formatReply } from '../../src/wire/reply.ts';
import { Bench, bench, pipeliningOrNot, reinjectorFor, unavailable, usual } from './delivery.ts';
import { type Move, type Peer, type Script, ScriptedServer, type Stage } from './scripted-server.ts';

const large = `${'0123456789'.repeat(2_000_000)}\r\n`;
/** No two lines of it are the same. */
const varied = Array.from({ length: 500_000 }, (_, n) => `${n} ${'x'.repeat(n % 80)}\r\n`).join('');
/** Where a large message waits: all in memory, and all but its beginning in a file. */
const places = [
  ['memory', undefined],
  ['file', 0],
] as const;

/** The move is made once, at the first piece of the message. */
function once(stage: Stage, move: Move): Script {
  let done = false;
  return now => {
    if (now !== stage || done) return undefined;
    done = true;
    return move;
  };
}

test('the connection breaks in the middle of the message', async t => {
  for (const [place, budget] of places) {
    for (const and of ['close', 'reset'] as const) {
      await t.test(`${and}, ${place}`, async t => {
        const { server, deliver } = await opened(t, once('data', { and }));
        const { answer, failure } = await deliver({ wire: large, budget });
        assert.equal(formatReply(answer), unavailable);
        assert.doesNotMatch(failure ?? '', /final dot/);
        assert.deepEqual([server.messages, server.peers.length], [[], 1]);
      });
    }
  }
});

test('the connection breaks behind the dot: 451, and the log says that it was behind the dot', async t => {
  for (const wire of ['x\r\n', large]) {
    for (const and of ['close', 'reset'] as const) {
      const { server, deliver } = await opened(t, once('message', { and }));
      const { answer, failure } = await deliver({ wire });
      assert.equal(formatReply(answer), unavailable);
      assert.match(failure ?? '', /after the final dot/);
      assert.deepEqual([server.messages.length, server.peers.length], [1, 1]);
    }
  }
});

test('a reply before the end of the message: a refusal is the answer, nothing else is, and no dot is sent', async t => {
  const strange = unavailable;
  for (const [reply, expected] of [
    ['552 5.3.4 too large', '552 5.3.4 too large\r\n'],
    ['421 4.3.0 bye', '451 4.3.0 bye\r\n'],
    ['250 2.0.0 Ok', strange],
    ['354 go on', strange],
  ] as const) {
    for (const [place, budget] of places) {
      await t.test(`${reply}, ${place}`, async t => {
        const { server, answer } = await opened(t, once('data', reply));
        assert.equal(await answer({ wire: large, budget }), expected);
        await server.until(() => server.open === 0);
        assert.deepEqual(server.messages, []);
      });
    }
    await t.test(`${reply}, together with 354`, async t => {
      const { server, answer } = await opened(t, once('DATA', { raw: `354 go\r\n${reply}\r\n` }));
      assert.equal(await answer(), expected);
      await server.until(() => server.open === 0);
      assert.deepEqual(server.messages, []);
    });
  }
});

test('a reply before the end of the message from a server that reads no more is heard at once', async t => {
  for (const [place, budget] of places) {
    for (const [name, say, expected] of [
      ['a refusal', '552 5.3.4 too large', '552 5.3.4 too large\r\n'],
      ['replies without end', Array(1_000_000).fill('250 2.0.0 Ok').join('\r\n'), unavailable],
    ] as const) {
      await t.test(`${name}, ${place}`, { timeout: 3000 }, async t => {
        t.mock.timers.enable({ apis: ['setTimeout'] }); // no deadline comes to help
        const { server, answer } = await opened(t, once('data', { say, and: 'deaf' }));
        assert.equal(await answer({ wire: large, budget }), expected);
        assert.deepEqual(server.messages, []);
      });
    }
  }
});

test('half a reply while the message is on its way changes no octet of it', async t => {
  for (const [place, budget] of places) {
    for (const [half, rest] of [
      ['2', '50 2.0.0 Ok\r\n'],
      ['250-', 'x\r\n250 2.0.0 Ok\r\n'],
      ['250-early\r\n', '250 2.0.0 Ok\r\n'],
    ] as const) {
      await t.test(`${JSON.stringify(half)}, ${place}`, async t => {
        const { server, answer } = await opened(t);
        let said = false;
        const stall = async ({ socket }: Peer) => {
          socket.pause();
          await turns(3000); // until the sender waits for the kernel to take more
          socket.write(half);
          await turns(3000);
          socket.resume();
        };
        server.script = (stage, peer) => {
          if (stage === 'message') return { raw: rest };
          if (stage !== 'data' || said) return undefined;
          said = true;
          stall(peer);
          return {};
        };
        const code = (await answer({ wire: varied, budget })).slice(0, 3);
        assert.ok(said);
        assert.ok(
          server.messages.every(message => message === varied),
          'other octets arrived',
        );
        assert.equal(code, server.messages.length === 1 ? '250' : '451');
      });
    }
  }
});

test('replies without end, and what is no reply, at any stage', async t => {
  const raws: [name: string, raw: string][] = [
    ['a line without end', `250 ${'x'.repeat(70_000)}`],
    ['10,000 continuation lines', '250-x\r\n'.repeat(10_000)],
    ['continuation lines with another code', '250-x\r\n550 y\r\n'],
    ['HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['TLS', '\x15\x03\x01\0\x02\x02\x46\r\n'],
    ['empty lines', '\r\n\r\n'],
    ['NULs', '\0'.repeat(70_000)],
  ];
  for (const [how, extensions] of pipeliningOrNot) {
    for (const stage of ['greeting', 'EHLO', 'MAIL', 'RCPT', 'DATA', 'message'] as const) {
      for (const [name, raw] of raws) {
        const { server, answer } = await opened(t, once(stage, { raw }), extensions);
        assert.equal(await answer(), unavailable, `${name} at ${stage}, ${how}`);
        await server.until(() => server.open === 0);
        assert.equal(server.messages.length, stage === 'message' ? 1 : 0, `${name} at ${stage}, ${how}`);
      }
    }
  }
});

test('100,000 replies to one command', async t => {
  for (const stage of ['MAIL', 'RCPT', 'DATA'] as const) {
    const { server, answer } = await opened(t, once(stage, { raw: '250 2.0.0 Ok\r\n'.repeat(100_000) }));
    assert.equal(await answer(), unavailable);
    await server.until(() => server.open === 0);
    assert.deepEqual(server.messages, [], stage);
  }
});

test('long lines and control characters in a reply reach the client in good form', async t => {
  const long = 'y'.repeat(8192);
  for (const [reply, expected] of [
    [`550-5.7.1 ${long}\r\n550 5.7.1 ${long}`, `550-5.7.1 ${'y'.repeat(500)}\r\n550 5.7.1 ${'y'.repeat(500)}\r\n`],
    ['550 5.7.1 a\x1b[2Jb\rc\0d\x7f', '550 5.7.1 a?[2Jb?c?d?\r\n'],
    ['550 5.7.1 \xa0\xc3\xa4', '550 5.7.1 \xa0\xc3\xa4\r\n'],
    [`250 ${long}`, `250 ${'y'.repeat(506)}\r\n`],
  ] as const) {
    const { answer } = await opened(t, once('message', reply));
    assert.equal(await answer(), expected);
  }
});

test('8 KiB lines and 199 extensions in the answer to EHLO', async t => {
  const { server, answer } = await opened(t);
  server.extensions = ['PIPELINING', `X ${'y'.repeat(8192)}`, ...Array.from({ length: 197 }, (_, n) => `X${n}`)];
  assert.match(await answer(), /^250 /);
});

test('nobody listens', async () => {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(typeof address === 'object' && address);
  await new Promise(resolve => server.close(resolve));
  const made = new Bench(new ScriptedServer(usual, []), reinjectorFor(address));
  const { answer, failure } = await made.deliver();
  assert.equal(formatReply(answer), unavailable);
  assert.match(failure ?? '', /ECONNREFUSED/);
});

async function turns(count: number): Promise<void> {
  for (let n = 0; n < count; n++) await turn();
}

async function opened(t: test.TestContext, script: Script = usual, extensions?: readonly string[]) {
  const made = await bench(t, script, extensions);
  return { server: made.server, deliver: made.deliver.bind(made), answer: made.answer.bind(made) };
}
