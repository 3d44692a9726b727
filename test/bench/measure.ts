// One measurement: a fresh sink, a fresh process under test, some messages to warm up, then the load that counts.

import { freePort } from '../peers/ports.ts';
import { type Bench, Sink, send } from './load.ts';
import { measureTransport } from './measure-transport.ts';
import { post } from './post.ts';
import { type Sample, watched } from './sample.ts';
import type { Scenario } from './scenarios.ts';
import { type Subject, startSubject } from './subjects.ts';

export async function measure(
  bench: Bench,
  subject: Subject,
  scenario: Scenario,
  load: { readonly file: string; readonly messages: number; readonly idle: boolean },
): Promise<Sample> {
  if (scenario.remote !== undefined) return measureTransport(bench, subject, scenario, scenario.remote, load);
  const { file, messages } = load;
  const { connections, carrier } = scenario;
  const warmUp = Math.ceil(messages / 10);
  const sinkPort = await freePort();
  await using sink = await Sink.start(bench, sinkPort, warmUp + messages);
  const port = subject === 'straight' ? sinkPort : await freePort();
  await using program = await startSubject(subject, scenario, { port, spare: await freePort(), sink: sinkPort }, bench);

  const sendBy = carrier === 'HTTP' ? post : send;
  const sendAll = (count: number) => sink.during(sendBy(bench, port, { file, connections, messages: count }));
  const timed = async () => messages / (await sendAll(messages));
  try {
    await sendAll(warmUp);
    const sample = program ? await watched(program, messages, timed) : { messagesPerSecond: await timed() };
    // A refusal makes smtp-source fail; this shows that what was accepted has also arrived, each message once.
    await sink.confirm(file);
    return sample;
  } catch (error) {
    if (program && !program.isRunning) throw program.failure(`ended under load (${await program.exited})`);
    throw error;
  }
}
