// The load over LMTP where each message has other recipients, which smtp-source cannot: connections that are kept, as Postfix keeps them.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { sender } from './messages.ts';

export interface LmtpLoad {
  /** The message as smtp-source reads it; no line begins with a dot. */
  readonly file: string;
  readonly connections: number;
  /** Of each message. */
  readonly recipients: readonly (readonly string[])[];
}

/** Sends the message file once to each list of recipients; the seconds from the first connection to the last reply. Any refusal throws. */
export async function sendByLmtp(port: number, { file, connections, recipients }: LmtpLoad): Promise<number> {
  const wire = Buffer.from(`${readFileSync(file, 'latin1').replaceAll('\n', '\r\n')}.\r\n`, 'latin1');
  const lists = recipients.values();
  const start = performance.now();
  await Promise.all(
    Array.from({ length: connections }, async () => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      const talk = new Talk(socket);
      await talk.expect(1, '220');
      await talk.ask('LHLO bench.test\r\n', 1, '250');
      for (const list of lists) {
        await talk.ask(`MAIL FROM:<${sender}>\r\n`, 1, '250');
        await talk.ask(list.map(address => `RCPT TO:<${address}>\r\n`).join(''), list.length, '250');
        await talk.ask('DATA\r\n', 1, '354');
        await talk.ask(wire, list.length, '250');
      }
      socket.end('QUIT\r\n');
      await once(socket, 'close');
    }),
  );
  return (performance.now() - start) / 1000;
}

class Talk {
  readonly #socket: Socket;
  #text = '';
  #fault: Error | null = null;
  #wake: () => void = () => undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    const end = (error?: unknown) => {
      this.#fault ??= error instanceof Error ? error : new Error('the filter closed the connection');
      this.#wake();
    };
    socket
      .on('data', chunk => {
        this.#text += chunk.toString('latin1');
        this.#wake();
      })
      .on('error', end)
      .on('close', end);
  }

  async ask(octets: string | Buffer, replies: number, code: string): Promise<void> {
    this.#socket.write(octets);
    await this.expect(replies, code);
  }

  async expect(replies: number, code: string): Promise<void> {
    for (let left = replies; left > 0; ) {
      const [reply] = /^(?:\d{3}-.*\r\n)*\d{3} .*\r\n/.exec(this.#text) ?? [];
      if (reply === undefined) {
        if (this.#fault !== null) throw this.#fault;
        await new Promise<void>(resolve => {
          this.#wake = resolve;
        });
        continue;
      }
      if (!reply.startsWith(code)) throw new Error(`the filter answered: ${reply}`);
      this.#text = this.#text.slice(reply.length);
      left--;
    }
  }
}
