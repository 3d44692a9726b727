// The two carriers of a dialogue: the codec in memory, and the server on a real socket.

import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import type { Listener } from '../../src/accept/listener.ts';
import { listenSmtp } from '../../src/accept/smtp-server.ts';
import type { Reception } from '../../src/accept/transaction.ts';
import type { Envelope } from '../../src/message/envelope.ts';
import { monotonicClock } from '../../src/system/clock.ts';
import type { Log } from '../../src/system/log.ts';
import { SpoolStore } from '../../src/system/spool.ts';
import { bareReply, type Reply, reply, type StatusDetail } from '../../src/wire/reply.ts';
import type { SessionOptions } from '../../src/wire/session.ts';
import { Conversation } from '../wire/conversation.ts';
import type { Delivery } from './transcript.ts';

const patience = 5000;

export interface Carrier {
  readonly delivered: readonly Delivery[];
  say(octets: string): void;
  /** The octets from the server since the last call: as many, or fewer when the connection has ended. */
  hear(count: number): Promise<string>;
  /** Resolves with what else was said when the server has closed the connection. */
  closed(): Promise<string>;
  hangUp(): void;
}

/** What is refused in transcripts, and how: an address says it. `<550-1.1@x>` gets 550 5.1.1, the message from `<message-451-3.0@x>` 451 4.3.0. */
function scripted(address: string, prefix = ''): Reply | undefined {
  if (address === `${prefix}lines@x`) return bareReply(550, '5.1.1 one', '5.1.1 two\r\n250 three');
  const [, code, detail] = new RegExp(`^${prefix}(\\d{3})-(\\d+\\.\\d+)@`).exec(address) ?? [];
  return code === undefined ? undefined : reply(Number(code), detail as StatusDetail, 'Scripted');
}

const taken = reply(250, '0.0', 'Taken');

function delivery({ from, recipients }: Envelope, wire: string): Delivery {
  return { from: from.address, to: recipients.map(({ address }) => address), wire };
}

export class MemoryCarrier implements Carrier {
  readonly delivered: Delivery[] = [];
  readonly #conversation: Conversation;
  #heard = 0;

  constructor(options: SessionOptions) {
    this.#conversation = new Conversation(options, {
      sender: ({ address }) => scripted(address),
      recipient: ({ address }) => scripted(address),
      message: ({ envelope, wire }) => {
        const refusal = scripted(envelope.from.address, 'message-');
        if (refusal === undefined) this.delivered.push(delivery(envelope, wire ?? ''));
        return refusal ?? taken;
      },
    });
  }

  say(octets: string): void {
    this.#conversation.say(octets);
  }

  hear(count: number): Promise<string> {
    const heard = this.#conversation.output.slice(this.#heard, this.#heard + count);
    this.#heard += heard.length;
    return Promise.resolve(heard);
  }

  closed(): Promise<string> {
    const { output, session } = this.#conversation;
    return session.closed ? Promise.resolve(output.slice(this.#heard)) : Promise.reject(new Error('not closed'));
  }

  hangUp(): void {
    this.#conversation.session.closed = true;
  }
}

export class SocketServer {
  readonly delivered: Delivery[] = [];
  /** Unexpected: log lines at level error. */
  readonly errors: string[] = [];
  #listener: Listener | null = null;

  async start(session: SessionOptions): Promise<void> {
    const quiet = () => undefined;
    const log: Log = {
      error: line => this.errors.push(line),
      warn: quiet,
      info: quiet,
      debug: quiet,
      trace: quiet,
      flush: quiet,
    };
    const reception: Reception = {
      sender: ({ address }) => scripted(address) ?? null,
      recipient: ({ address }) => scripted(address) ?? null,
      digests: () => [],
      unusable: quiet,
      message: ({ envelope, content }) => {
        const refusal = scripted(envelope.from.address, 'message-');
        const wire = Buffer.concat(content.small() ?? []).toString('latin1');
        if (refusal === undefined) this.delivered.push(delivery(envelope, wire));
        return Promise.resolve(refusal ?? taken);
      },
    };
    const store = new SpoolStore(tmpdir());
    this.#listener = await listenSmtp('127.0.0.1', 0, {
      ...session,
      label: 'Test',
      reception,
      store,
      log,
      clock: monotonicClock,
    });
  }

  connect(): Carrier {
    const { delivered } = this;
    const socket = connect({ host: '127.0.0.1', port: this.#listener?.port ?? 0, noDelay: true });
    let heard = '';
    let ended = false;
    socket.setEncoding('latin1');
    // A server that says less than expected: what was heard then tells the difference.
    socket.setTimeout(patience, () => socket.destroy());
    let wake: () => void = () => undefined;
    const next = () => new Promise<void>(resolve => (wake = resolve));
    socket.on('data', text => {
      heard += text;
      wake();
    });
    socket.on('error', () => undefined); // `close` follows
    socket.on('close', () => {
      ended = true;
      wake();
    });
    const take = (count: number) => {
      const text = heard.slice(0, count);
      heard = heard.slice(count);
      return text;
    };
    return {
      delivered,
      say: octets => socket.write(octets, 'latin1'),
      hear: async count => {
        while (heard.length < count && !ended) await next();
        return take(count);
      },
      closed: async () => {
        while (!ended) await next();
        return take(heard.length);
      },
      hangUp: () => socket.end(),
    };
  }

  async stop(): Promise<void> {
    await this.#listener?.stop(1000);
  }
}
