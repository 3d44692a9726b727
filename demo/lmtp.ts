/** A client of LMTP (RFC 2033), as Postfix is one. nodemailer's tells no more than one of the replies to delivered recipients. */
import { connect, type Socket } from 'node:net';
import { type Carrier, dotted, patience } from './carriers.ts';
import type { Letter } from './messages.ts';

/** One reply a recipient; where there are several recipients each stands before its reply. */
export function overLmtp(port: number): Carrier {
  return async letter => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    socket.setTimeout(patience, () => socket.destroy(new Error('the filter is silent')));
    try {
      const replies = await transact(new Conversation(socket), letter);
      return letter.to.length === 1 ? replies : replies.map((reply, index) => `${letter.to[index]}: ${reply}`);
    } catch (error) {
      return [`no reply: ${(error as Error).message}`];
    } finally {
      socket.destroy();
    }
  };
}

/** The replies in the order of the recipients: to RCPT when that is a refusal, else to the message. */
async function transact(conversation: Conversation, { from, to, message }: Letter): Promise<readonly string[]> {
  await conversation.reply();
  await conversation.ask('LHLO relay.example');
  await conversation.ask(`MAIL FROM:<${from}>`);
  const early: (string | null)[] = [];
  for (const recipient of to) {
    const reply = await conversation.ask(`RCPT TO:<${recipient}>`);
    early.push(reply.startsWith('250 ') ? null : `at RCPT: ${reply}`);
  }
  if (early.includes(null)) {
    await conversation.ask('DATA');
    conversation.write(Buffer.concat([dotted(message), Buffer.from('.\r\n')]));
  }
  const replies: string[] = [];
  for (const refusal of early) replies.push(refusal ?? (await conversation.reply()));
  await conversation.ask('QUIT');
  return replies;
}

class Conversation {
  readonly #socket: Socket;
  readonly #lines: AsyncGenerator<string>;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#lines = lines(socket);
  }

  write(octets: Buffer | string): void {
    this.#socket.write(octets);
  }

  async ask(command: string): Promise<string> {
    this.write(`${command}\r\n`);
    return await this.reply();
  }

  /** The lines of the next reply as one. */
  async reply(): Promise<string> {
    const reply: string[] = [];
    for (;;) {
      const { value: line, done } = await this.#lines.next();
      if (done) throw new Error('the filter hung up');
      reply.push(line);
      if (line[3] !== '-') return reply.join(' ');
    }
  }
}

async function* lines(socket: Socket): AsyncGenerator<string> {
  let begun = '';
  for await (const chunk of socket.setEncoding('latin1')) {
    const parts = `${begun}${chunk}`.split('\r\n');
    begun = parts.pop() ?? '';
    yield* parts;
  }
}
