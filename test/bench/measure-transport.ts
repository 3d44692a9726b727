// One measurement of a transport row: LMTP into the filter, HTTPS or SMTP with STARTTLS out of it to the TLS sink.

import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../peers/ports.ts';
import { sendByLmtp } from './lmtp.ts';
import { type Bench, send } from './load.ts';
import { measurePostfix } from './postfix-queue.ts';
import type { Program } from './processes.ts';
import { domainOf } from './remotes.ts';
import { type Sample, watched } from './sample.ts';
import type { RemoteLoad, Scenario } from './scenarios.ts';
import { type Subject, startTransport } from './subjects.ts';

export interface TransportLoad {
  readonly file: string;
  readonly messages: number;
  /** Wait and see whether idle connections go. */
  readonly idle: boolean;
}

const twoMinutes = 120_000;

export async function measureTransport(
  bench: Bench,
  subject: Subject,
  { connections }: Scenario,
  remote: RemoteLoad,
  { file, messages, idle }: TransportLoad,
): Promise<Sample> {
  const { carriers, domains, recipientsEach } = remote;
  await using sink = await bench.remotes.startSink(bench.directory);
  const first = { file, connections, recipient: `bob@${domainOf(0, carriers, domains)}` };
  if (subject === 'postfix' || subject === 'postfix, TLS kept') {
    const tls = subject === 'postfix' ? 'one each' : 'kept';
    const sample = await measurePostfix(bench, sink.smtpPort, { ...first, messages }, tls);
    await sink.confirm(messages);
    return sample;
  }

  const port = await freePort();
  await using program = await startTransport(port, sink, bench);
  await sleep(100); // the connection that found it listening goes first
  const socketsBefore = program.sockets();
  const sendAll = (count: number) =>
    domains === 1
      ? send(bench, port, { ...first, messages: count, lmtp: true })
      : sendByLmtp(port, { file, connections, recipients: recipientsOf(count, remote) });
  try {
    const warmUp = Math.ceil(messages / 10);
    await sendAll(warmUp);
    const sample = await watched(program, messages, async () => messages / (await sendAll(messages)));
    const sockets = await countSockets(program, socketsBefore, idle && domains > 1);
    // A recipient that is refused ends the load; this shows that what was accepted has also arrived, each once.
    await sink.confirm((warmUp + messages) * recipientsEach);
    return { ...sample, sockets };
  } catch (error) {
    if (!program.isRunning) throw program.failure(`ended under load (${await program.exited})`);
    throw error;
  }
}

function recipientsOf(messages: number, { carriers, domains, recipientsEach }: RemoteLoad): string[][] {
  return Array.from({ length: messages }, (_, message) =>
    Array.from(
      { length: recipientsEach },
      (_, recipient) => `bob@${domainOf(message * recipientsEach + recipient, carriers, domains)}`,
    ),
  );
}

async function countSockets(
  program: Program,
  before: number,
  isToWait: boolean,
): Promise<NonNullable<Sample['sockets']>> {
  const kept = program.sockets() - before;
  if (!isToWait) return { kept };
  await sleep(twoMinutes);
  return { kept, twoMinutesLater: program.sockets() - before };
}
