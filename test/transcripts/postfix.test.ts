// What a real Postfix 3.7 says, written down from the wire: every command must be taken, and its message must arrive as sent.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lmtp, smtp } from '../wire/conversation.ts';
import { cuts, describeCut } from '../wire/cuts.ts';
import { type Carrier, MemoryCarrier, SocketServer } from './carriers.ts';
import { parseRecording, transcriptFiles } from './transcript.ts';

const files = transcriptFiles(`${import.meta.dirname}/postfix`);
assert.equal(files.length, 7);

for (const { name, source } of files) {
  const recording = parseRecording(name, source);
  const { protocol, commands, recipients } = recording;
  const options = { ...(protocol === 'SMTP' ? smtp : lmtp), maxMessageSize: 31_457_280 };
  const message = commands[commands.indexOf('.\r\n') - 1] ?? '';

  /** Feeds the chunks and checks what is said and what arrives. */
  const run = async (chunks: readonly string[], carrier: Carrier) => {
    for (const chunk of chunks) carrier.say(chunk);
    const lines = (await carrier.closed()).split('\r\n').slice(0, -1);
    for (const line of lines) assert.match(line, /^(?:2\d\d|354)[ -]/);
    // Greeting, one for each command (the message has none), and over LMTP one for each recipient.
    const replies = lines.filter(line => line[3] === ' ').length;
    assert.equal(replies, commands.length + (protocol === 'LMTP' ? recipients - 1 : 0));
    assert.deepEqual(
      carrier.delivered.map(({ to, wire }) => [to.length, wire]),
      [[recipients, message]],
    );
  };

  test(name, async t => {
    await t.test('in memory, at every cut', async () => {
      for (const chunks of cuts(commands.join(''))) {
        await run(chunks, new MemoryCarrier(options)).catch(error => assert.fail(`${error}\n${describeCut(chunks)}`));
      }
    });
    // LMTP has no server yet.
    if (protocol === 'LMTP') return;
    await t.test('on a socket', async () => {
      const server = new SocketServer();
      await server.start(options);
      try {
        await run(commands, server.connect());
        assert.deepEqual(server.errors, []);
      } finally {
        await server.stop();
      }
    });
  });
}
