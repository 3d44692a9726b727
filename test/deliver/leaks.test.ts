// Alone in its file: what other tests leave for a moment would be counted too.
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { Bench, reinjectorFor, usual } from './delivery.ts';
import { type Move, postfixExtensions, ScriptedServer, type Stage } from './scripted-server.ts';

const large = `${'0123456789'.repeat(500_000)}\r\n`;

const moves: [stage: Stage, move: Move][] = [
  ['greeting', { and: 'reset' }],
  ['EHLO', '550 5.7.1 no'],
  ['MAIL', { raw: 'junk\r\n' }],
  ['RCPT', '550 5.1.1 no'],
  ['DATA', { and: 'close' }],
  ['data', { and: 'reset' }],
  ['data', '552 5.3.4 no'],
  ['message', { and: 'close' }],
  ['message', '554 5.7.1 no'],
  ['QUIT', {}],
];

function resources(): string {
  const inUse = process.getActiveResourcesInfo().filter(name => /TCP|Timeout|FSReq/.test(name));
  return [...inUse.sort(), `${readdirSync('/proc/self/fd').length} descriptors`].join();
}

test('no descriptor, timer or listener is left, however a delivery ended', { timeout: 20_000 }, async () => {
  const before = resources();
  for (const [stage, move] of moves) {
    for (const gone of [null, new AbortController()]) {
      const server = new ScriptedServer(usual, postfixExtensions);
      await server.listen();
      const made = new Bench(server, reinjectorFor(server));
      // One delivery leaves an idle connection, which the next one uses.
      assert.equal((await made.deliver()).answer.code, 250);
      server.script = now => {
        if (now !== stage) return undefined;
        gone?.abort();
        // Behind the dot the answer is waited for, client or no client.
        return gone === null || stage === 'message' ? move : {};
      };
      const { signal } = gone ?? new AbortController();
      await Promise.all([made.deliver({ wire: large, budget: 0, gone: signal }), made.deliver({ gone: signal })]);
      assert.deepEqual(getEventListeners(signal, 'abort'), []);
      server.script = usual;
      made.reinjector.close();
      await server.close();
    }
  }
  // The last sockets need a turn or two of the event loop; a leak needs the test's whole time.
  while (resources() !== before) await new Promise(resolve => setImmediate(resolve));
});
