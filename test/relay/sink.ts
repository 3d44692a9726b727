// The last hop: an SMTP and LMTP server that keeps what it was given, octet for octet, and refuses whom it is told to.

import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

export interface Address {
  address: string;
  parameters: string[];
}

export interface Delivery {
  /** The attributes of XFORWARD, as they were sent. */
  origin: Record<string, string>;
  from: Address;
  to: Address[];
  /** As it came over the wire: dots escaped, without the final dot. */
  octets: Buffer;
  /** With dots unescaped. */
  message: Buffer;
}

const hello = [
  ...['250-sink', '250-PIPELINING', '250-SIZE', '250-8BITMIME', '250-SMTPUTF8', '250-DSN', '250-ENHANCEDSTATUSCODES'],
  '250 XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE',
].join('\r\n');

export class Sink {
  readonly deliveries: Delivery[] = [];
  /** Recipient to the reply its RCPT gets. */
  readonly refusals = new Map<string, string>();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server = createServer(socket => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      serve(socket, this);
    });
  }

  static start(): Promise<Sink> {
    const sink = new Sink();
    return new Promise((resolve, reject) => {
      sink.#server.once('error', reject);
      sink.#server.listen(0, '127.0.0.1', () => resolve(sink));
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** All that was delivered since the last call. */
  take(): Delivery[] {
    return this.deliveries.splice(0);
  }

  stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise(resolve => this.#server.close(() => resolve()));
  }
}

/** One connection: commands a line at a time, then DATA up to its dot, and so on. */
function serve(socket: Socket, sink: Sink): void {
  let pending: Buffer = Buffer.alloc(0);
  let data: Buffer[] | undefined;
  let from: Address | undefined;
  let to: Address[] = [];
  let origin: Record<string, string> = {};

  let perRecipient = false;

  const say = (reply: string) => socket.write(`${reply}\r\n`, 'utf8');
  const reset = () => {
    from = undefined;
    to = [];
  };

  function command(line: string): void {
    switch (/^[A-Za-z]*/.exec(line)?.[0].toUpperCase()) {
      case 'EHLO':
      case 'LHLO':
        perRecipient = line.startsWith('L');
        reset();
        return void say(hello);
      case 'XFORWARD':
        for (const [, name = '', value = ''] of line.matchAll(/ (\w+)=(\S*)/g)) origin[name] = value;
        return void say('250 2.0.0 noted');
      case 'MAIL':
        from = address(line);
        return void say('250 2.1.0 sender');
      case 'RCPT': {
        const recipient = address(line);
        const refusal = sink.refusals.get(recipient.address);
        if (!refusal) to.push(recipient);
        return void say(refusal ?? '250 2.1.5 recipient');
      }
      case 'DATA':
        if (!from || to.length === 0) return void say('554 5.5.1 no recipient');
        // The line break before the first line, so that a dot on it is found like any other.
        data = [Buffer.from('\r\n')];
        return void say('354 go');
      case 'QUIT':
        say('221 2.0.0 bye');
        return void socket.end();
      default:
        reset();
        return void say('250 2.0.0 fine');
    }
  }

  /** Takes data up to the dot; false when that has not come yet. */
  function body(chunks: Buffer[]): boolean {
    // The dot's line may be spread over chunks: the last four octets are looked at again.
    const last = chunks.pop() ?? Buffer.alloc(0);
    const joined = Buffer.concat([last, pending]);
    const end = joined.indexOf('\r\n.\r\n');
    if (end < 0) {
      const keep = Math.max(0, joined.length - 4);
      chunks.push(joined.subarray(0, keep), joined.subarray(keep));
      pending = Buffer.alloc(0);
      return false;
    }
    pending = joined.subarray(end + 5);
    const octets = Buffer.concat([...chunks, joined.subarray(0, end + 2)]).subarray(2);
    if (from) sink.deliveries.push({ origin, from, to, octets, message: unescapeDots(octets) });
    for (const _ of perRecipient ? to : ['all']) say('250 2.0.0 kept');
    data = undefined;
    origin = {};
    reset();
    return true;
  }

  say('220 sink ESMTP');
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length > 0) {
      if (data) {
        if (!body(data)) return;
        continue;
      }
      const end = pending.indexOf('\r\n');
      if (end < 0) return;
      const line = pending.toString('utf8', 0, end);
      pending = pending.subarray(end + 2);
      command(line);
    }
  });
}

function address(line: string): Address {
  const [, inside = '', rest = ''] = /^[^<]*<(.*)>(.*)$/.exec(line) ?? [];
  return { address: inside, parameters: rest.split(' ').filter(word => word !== '') };
}

function unescapeDots(octets: Buffer): Buffer {
  return Buffer.from(octets.toString('latin1').replace(/(^|\r\n)\./g, '$1'), 'latin1');
}

/** Of MAIL or RCPT, in alphabetical order; the size is Postfix's own. */
export function assertParameters(address: Address | undefined, expected: readonly string[]): void {
  assert.ok(address);
  assert.deepEqual(address.parameters.filter(word => !word.startsWith('SIZE=')).sort(), expected);
}
