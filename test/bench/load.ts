// The load and its end: smtp-source sends, smtp-sink takes. Both get the same options whatever stands between them.

import { setTimeout as sleep } from 'node:timers/promises';
import { recipient as mailbox, sender } from './messages.ts';
import { Program, socketsOf } from './processes.ts';
import type { Programs } from './programs.ts';
import type { Remotes } from './remotes.ts';

/** What one measurement works with. */
export interface Bench {
  readonly programs: Programs;
  /** Temporary; on a disk, because the filter's spool must not be memory. */
  readonly directory: string;
  /** Knows the key of signed messages. */
  readonly dnsServer: string;
  /** For the transport rows. */
  readonly remotes: Remotes;
}

export interface Load {
  /** The message as smtp-source reads it. */
  readonly file: string;
  readonly connections: number;
  readonly messages: number;
  readonly recipient?: string;
  /** Instead of SMTP. */
  readonly lmtp?: boolean;
}

/** Sends the message file `messages` times; the seconds from the first connection to the last reply. Any reply but the expected one throws. */
export async function send(bench: Bench, port: number, load: Load): Promise<number> {
  const { connections, messages, file, recipient = mailbox, lmtp = false } = load;
  const options = ['-s', `${connections}`, '-m', `${messages}`, '-f', sender, '-t', recipient, '-F', file];
  if (lmtp) options.push('-L');
  await using source = new Program(
    bench.programs['smtp-source'],
    [...options, `127.0.0.1:${port}`],
    `${bench.directory}/smtp-source.log`,
  );
  // smtp-source needs a second to read a file of 30 MB: that is not the load.
  while (source.isRunning && socketsOf(source.pid) === 0) await sleep(1);
  const start = performance.now();
  const end = await source.exited;
  const seconds = (performance.now() - start) / 1000;
  if (end !== '0') throw source.failure(`ended with ${end}`);
  return seconds;
}

/** smtp-sink on a loopback port. It ends when it has one message more than `expected`, which is how `confirm` counts without slowing it. */
export class Sink implements AsyncDisposable {
  readonly #bench: Bench;
  readonly #program: Program;
  readonly #port: number;
  readonly #expected: number;

  private constructor(bench: Bench, port: number, expected: number) {
    // As root it insists on another user.
    const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
    const options = [...user, '-M', `${expected + 1}`, `127.0.0.1:${port}`, '1024'];
    this.#program = new Program(bench.programs['smtp-sink'], options, `${bench.directory}/smtp-sink.log`);
    this.#bench = bench;
    this.#port = port;
    this.#expected = expected;
  }

  static async start(bench: Bench, port: number, expected: number): Promise<Sink> {
    const sink = new Sink(bench, port, expected);
    await sink.#program.untilListening(port);
    return sink;
  }

  /** What `sending` gives, unless the sink ends before it. */
  during<T>(sending: Promise<T>): Promise<T> {
    const ended = this.#program.exited.then(() => {
      throw this.#miscount('more');
    });
    return Promise.race([sending, ended]);
  }

  /** Throws unless exactly the expected messages have arrived. */
  async confirm(file: string): Promise<void> {
    let missing = 0;
    // The message that ends the sink gets no answer; one that is answered shows that another was missing.
    while (await this.#takesOneMore(file)) if (++missing === 1000) break;
    if (missing > 0) throw this.#miscount(`${missing === 1000 ? 'at least ' : ''}${missing} fewer`);
    if ((await this.#program.exited) !== '0') throw this.#program.failure(`ended with ${await this.#program.exited}`);
  }

  #takesOneMore(file: string): Promise<boolean> {
    return send(this.#bench, this.#port, { file, connections: 1, messages: 1 }).then(
      () => true,
      () => false,
    );
  }

  #miscount(how: string): Error {
    return this.#program.failure(`got ${how} messages than the ${this.#expected} that were sent`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#program[Symbol.asyncDispose]();
  }
}
