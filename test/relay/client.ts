// A small SMTP client that sends exactly the octets it is given.

import { connect, type Socket } from 'node:net';

export interface Mail {
  from: string;
  to: readonly string[];
  message: Buffer;
  /** Parameters of MAIL, such as `BODY=8BITMIME RET=HDRS`. */
  mailParameters?: string;
  /** Parameters of RCPT, for each recipient. */
  rcptParameters?: (recipient: string) => string;
}

export class Client {
  readonly #socket: Socket;
  #text = '';
  readonly #replies: string[] = [];
  #waiting: ((reply: string) => void) | undefined;
  #closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('latin1');
      // A reply ends with the first line that has no hyphen after its code.
      for (let reply: RegExpExecArray | null; (reply = /^(?:\d{3}-.*\r\n)*\d{3}(?: .*)?\r\n/.exec(this.#text)); ) {
        this.#text = this.#text.slice(reply[0].length);
        this.#replies.push(reply[0].trimEnd());
      }
      this.#wake();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#closed = true;
      this.#wake();
    });
  }

  /** Connects and reads the greeting. */
  static async connect(port: number, from = '127.0.0.1'): Promise<Client> {
    const client = new Client(connect({ port, host: '127.0.0.1', localAddress: from }));
    const greeting = await client.reply();
    if (!greeting.startsWith('220 ')) throw new Error(`greeted with: ${greeting}`);
    return client;
  }

  get port(): number {
    return this.#socket.localPort ?? 0;
  }

  /** The next reply, its lines joined by CRLF; empty when the connection was closed instead. */
  reply(): Promise<string> {
    return new Promise(resolve => {
      this.#waiting = resolve;
      this.#wake();
    });
  }

  command(line: string): Promise<string> {
    this.#socket.write(`${line}\r\n`);
    return this.reply();
  }

  write(octets: Buffer | string): Promise<void> {
    return new Promise(resolve => this.#socket.write(octets, () => resolve()));
  }

  /** Hello and one transaction, until something is refused: the reply that decides. */
  async send(mail: Mail, helo = 'client.test'): Promise<string> {
    await this.command(`EHLO ${helo}`);
    return await this.transaction(mail);
  }

  async transaction(mail: Mail): Promise<string> {
    const opened = await this.open(mail);
    if (!opened.startsWith('354')) return opened;
    await this.write(wire(mail.message));
    return await this.reply();
  }

  /** MAIL, every RCPT, DATA: the first refusal, else DATA's 354. */
  async open(mail: Mail): Promise<string> {
    const commands = [
      `MAIL FROM:<${mail.from}> ${mail.mailParameters ?? ''}`,
      ...mail.to.map(address => `RCPT TO:<${address}> ${mail.rcptParameters?.(address) ?? ''}`),
    ];
    for (const line of commands) {
      const reply = await this.command(line.trimEnd());
      if (!reply.startsWith('2')) return reply;
    }
    return await this.command('DATA');
  }

  async quit(): Promise<void> {
    await this.command('QUIT');
    this.#socket.destroy();
  }

  /** Hangs up without a word. */
  abort(): void {
    this.#socket.destroy();
  }

  #wake(): void {
    if (!this.#waiting || (this.#replies.length === 0 && !this.#closed)) return;
    const resolve = this.#waiting;
    this.#waiting = undefined;
    resolve(this.#replies.shift() ?? '');
  }
}

/** One mail over one connection of its own. */
export async function sendOne(port: number, mail: Mail): Promise<string> {
  const client = await Client.connect(port);
  const reply = await client.send(mail);
  await client.quit();
  return reply;
}

/** The message as it goes over the wire: dots escaped, ended by the dot. */
export function wire(message: Buffer): Buffer {
  const text = message.toString('latin1').replace(/(^|\r\n)\./g, '$1..');
  return Buffer.from(text.endsWith('\r\n') || text === '' ? `${text}.\r\n` : `${text}\r\n.\r\n`, 'latin1');
}
