// Every dialogue runs against both carriers: step by step, and with everything the client says at once, however it is cut.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SessionOptions } from '../../src/wire/session.ts';
import { lmtp, smtp } from '../wire/conversation.ts';
import { cuts, describeCut } from '../wire/cuts.ts';
import { type Carrier, MemoryCarrier, SocketServer } from './carriers.ts';
import { parseTranscript, type Transcript, transcriptFiles } from './transcript.ts';

const files = transcriptFiles(import.meta.dirname);
assert.ok(files.length >= 20);

for (const { name, source } of files) {
  const transcript = parseTranscript(name, source);
  test(name, async t => {
    await t.test('in memory, step by step', () => stepByStep(transcript, new MemoryCarrier(optionsOf(transcript))));
    await t.test('in memory, at every cut', () => atEveryCut(transcript));
    // LMTP has no server yet.
    if (transcript.protocol === 'LMTP') return;
    await t.test('on a socket, step by step', () => onSocket(transcript, stepByStep));
    await t.test('on a socket, all at once', () => onSocket(transcript, allAtOnce));
  });
}

function optionsOf({ protocol }: Transcript): SessionOptions {
  return protocol === 'SMTP' ? smtp : lmtp;
}

async function stepByStep({ steps, deliveries, end }: Transcript, carrier: Carrier): Promise<void> {
  for (const { send, expect } of steps) {
    carrier.say(send);
    assert.equal(await carrier.hear(expect.length), expect, `behind ${JSON.stringify(send.slice(-200))}`);
  }
  if (end !== 'closed') carrier.hangUp();
  assert.equal(await carrier.closed(), '', 'said at the end');
  assert.deepEqual(carrier.delivered, deliveries);
}

async function allAtOnce({ steps, deliveries, end }: Transcript, carrier: Carrier): Promise<void> {
  const expected = steps.map(({ expect }) => expect).join('');
  carrier.say(steps.map(({ send }) => send).join(''));
  assert.equal(await carrier.hear(expected.length), expected);
  if (end !== 'closed') carrier.hangUp();
  assert.equal(await carrier.closed(), '', 'said at the end');
  assert.deepEqual(carrier.delivered, deliveries);
}

async function atEveryCut(transcript: Transcript): Promise<void> {
  const { steps, deliveries, end } = transcript;
  const options = optionsOf(transcript);
  const expected = steps.map(({ expect }) => expect).join('');
  for (const chunks of cuts(steps.map(({ send }) => send).join(''))) {
    const carrier = new MemoryCarrier(options);
    for (const chunk of chunks) carrier.say(chunk);
    assert.equal(await carrier.hear(Number.POSITIVE_INFINITY), expected, describeCut(chunks));
    assert.deepEqual(carrier.delivered, deliveries, describeCut(chunks));
    if (end === 'closed') await carrier.closed();
  }
}

async function onSocket(
  transcript: Transcript,
  run: (transcript: Transcript, carrier: Carrier) => Promise<void>,
): Promise<void> {
  const server = new SocketServer();
  await server.start(optionsOf(transcript));
  try {
    await run(transcript, server.connect());
    assert.deepEqual(server.errors, []);
  } finally {
    await server.stop();
  }
}
