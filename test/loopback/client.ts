// A raw SMTP client: it writes the octets it is given and reads replies, or does not.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { undoAtEnd } from './tidy.ts';

export type Mail = Readonly<{
  from: string;
  to: readonly string[];
  /** The wire form, the final dot included. */
  wire: Buffer;
  parameters?: string;
}>;

const patience = 20_000;

export class Client {
  readonly socket: Socket;
  /** Resolves when the connection is over, whoever ended it. */
  readonly closed: Promise<void>;
  #text = '';
  #over = false;
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', chunk => {
      this.#text += chunk.toString('latin1');
      this.#wake();
    });
    socket.on('error', () => socket.destroy());
    const over = () => {
      this.#over = true;
      this.#wake();
    };
    socket.on('end', over);
    socket.on('close', over);
    const forget = undoAtEnd(() => socket.destroy());
    this.closed = new Promise(resolve => {
      socket.once('close', () => {
        forget();
        resolve();
      });
    });
  }

  /** Connects and reads nothing yet. */
  static async connect(port: number, host = '127.0.0.1'): Promise<Client> {
    const socket = connect({ port, host, noDelay: true, allowHalfOpen: true });
    const client = new Client(socket);
    await once(socket, 'connect');
    return client;
  }

  /** Connects, reads the greeting and says EHLO. */
  static async hello(port: number, host?: string): Promise<Client> {
    const client = await Client.connect(port, host);
    assert.match(await client.reply(), /^220 /);
    assert.match(await client.ask('EHLO client.test'), /^250-/);
    return client;
  }

  /** The next reply, its lines joined by CRLF; empty when the connection ends before one. */
  async reply(withinMs = patience): Promise<string> {
    const end = performance.now() + withinMs;
    for (;;) {
      const [reply] = /^(?:\d{3}-[^\r\n]*\r\n)*\d{3} [^\r\n]*\r\n/.exec(this.#text) ?? [];
      if (reply !== undefined) {
        this.#text = this.#text.slice(reply.length);
        return reply.slice(0, -2);
      }
      if (this.#over) {
        assert.equal(this.#text, '', 'no part of a reply before the end of the connection');
        return '';
      }
      const left = end - performance.now();
      assert.ok(left > 0, `no reply within ${withinMs} ms`);
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  write(octets: Buffer | string): Promise<void> {
    return new Promise(resolve => this.socket.write(octets, () => resolve()));
  }

  /** One command, one reply. */
  async ask(line: string): Promise<string> {
    this.socket.write(`${line}\r\n`, 'latin1');
    return await this.reply();
  }

  /** MAIL, every RCPT and DATA: the first refusal, else 354. */
  async open({ from, to, parameters = '' }: Omit<Mail, 'wire'>): Promise<string> {
    const lines = [`MAIL FROM:<${from}>${parameters}`, ...to.map(address => `RCPT TO:<${address}>`)];
    for (const line of lines) {
      const reply = await this.ask(line);
      if (!reply.startsWith('250 ')) return reply;
    }
    return await this.ask('DATA');
  }

  /** A transaction: the first refusal, else the answer to the message. */
  async send(mail: Mail): Promise<string> {
    const opened = await this.open(mail);
    if (!opened.startsWith('354 ')) return opened;
    void this.write(mail.wire);
    return await this.reply();
  }

  async quit(): Promise<void> {
    assert.match(await this.ask('QUIT'), /^221 /);
    assert.equal(await this.reply(), '');
    this.socket.end();
    await this.closed;
  }

  /** Says no more; reads on. */
  end(): void {
    this.socket.end();
  }

  /** Ends the connection with a reset. */
  reset(): void {
    this.socket.resetAndDestroy();
  }
}

/** One message over a connection of its own. */
export async function sendOne(port: number, mail: Mail): Promise<string> {
  const client = await Client.hello(port);
  const reply = await client.send(mail);
  await client.quit();
  return reply;
}
