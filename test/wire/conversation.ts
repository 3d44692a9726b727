// A session and an owner that answers it: what a connection does, without a socket. Checks on the way what every session promises.

import assert from 'node:assert/strict';
import type { Envelope, Recipient, ReversePath } from '../../src/message/envelope.ts';
import type { DataFault } from '../../src/wire/data-reader.ts';
import { type Reply, reply } from '../../src/wire/reply.ts';
import { type SessionEvent, type SessionOptions, SmtpSession, startData } from '../../src/wire/session.ts';
import { latin1 } from './cuts.ts';

/** One message as the session handed it over. */
export type Message = {
  envelope: Envelope;
  fault: DataFault | null;
  /** The wire form without the final dot line; null when the message is faulty. */
  wire: string | null;
  /** The unescaped text; null when the message is faulty. */
  text: string | null;
};

/** What the owner says. Undefined means yes. */
export type Owner = {
  sender?: (path: ReversePath) => Reply | undefined;
  recipient?: (path: Recipient) => Reply | undefined;
  data?: (envelope: Envelope) => Reply | undefined;
  message?: (message: Message) => Reply | undefined;
};

export const smtp: SessionOptions = {
  protocol: 'SMTP',
  name: 'relay.example',
  maxMessageSize: 1000,
};
export const lmtp: SessionOptions = { ...smtp, protocol: 'LMTP' };

const senderTaken = reply(250, '1.0', 'Ok');
const recipientTaken = reply(250, '1.5', 'Ok');
const messageTaken = reply(250, '0.0', 'Taken');
const refusals: Record<DataFault, Reply> = {
  broken: reply(550, '6.0', 'Bare CR, bare LF or NUL in the message'),
  oversize: reply(552, '3.4', 'Message exceeds maximum size'),
};

export class Conversation {
  readonly session: SmtpSession;
  readonly messages: Message[] = [];
  /** Envelopes of messages that began, whether or not they ended. */
  readonly begun: Envelope[] = [];
  output = '';
  readonly #options: SessionOptions;
  readonly #owner: Owner;
  #wire = '';
  #text = '';
  #fault: DataFault | null = null;

  constructor(options: SessionOptions = smtp, owner: Owner = {}) {
    this.#options = options;
    this.#owner = owner;
    this.session = new SmtpSession(options);
    this.#collect();
  }

  /** Feeds the octets, answers what comes of them, and returns what the session said to it. */
  say(octets: string): string {
    const before = this.output.length;
    this.session.feed(latin1(octets));
    do {
      this.#collect();
      for (let event = this.session.next(); event !== null; event = this.session.next()) {
        this.#answer(event);
        this.#collect();
      }
    } while (this.session.outputFull);
    this.#collect();
    return this.output.slice(before);
  }

  #collect(): void {
    this.output += this.session.takeOutput();
  }

  #answer(event: SessionEvent): void {
    const { session } = this;
    switch (event.kind) {
      case 'sender':
        assert.equal(session.inTransaction, false);
        session.answer(this.#owner.sender?.(event.path) ?? senderTaken);
        break;
      case 'recipient':
        session.answer(this.#owner.recipient?.(event.path) ?? recipientTaken);
        break;
      case 'data': {
        const answer = this.#owner.data?.(event.envelope) ?? startData;
        if (answer.code === 354) this.begun.push(copyOf(event.envelope));
        this.#wire = '';
        this.#text = '';
        this.#fault = null;
        session.answer(answer);
        break;
      }
      case 'octets':
        assert.ok(event.wire.length > 0, 'an empty piece');
        assert.ok(this.#fault === null || event.fault !== null, 'a fault was taken back');
        this.#fault = event.fault;
        this.#wire += event.wire.toString('latin1');
        this.#text += event.text;
        break;
      case 'end':
        this.#end(event);
    }
  }

  #end({ fault, wireOctets }: SessionEvent & { kind: 'end' }): void {
    const envelope = this.begun.at(-1);
    assert.ok(envelope);
    assert.equal(this.session.inTransaction, true);
    assert.ok(/(^|\r\n)\.\r\n$/.test(this.#wire), 'the end is not CRLF dot CRLF');
    assert.equal(wireOctets, this.#wire.length - 3);
    const wire = this.#wire.slice(0, wireOctets);
    const message = { envelope, fault, ...(fault === null ? { wire, text: this.#text } : { wire: null, text: null }) };
    this.messages.push(message);
    const answer = fault !== null ? refusals[fault] : (this.#owner.message?.(message) ?? messageTaken);
    for (const each of this.#options.protocol === 'LMTP' ? envelope.recipients.map(() => answer) : [answer])
      this.session.answer(each);
    assert.equal(this.session.inTransaction, false);
  }
}

/** The envelope now: whatever the session does to its own lists later does not count. */
function copyOf({ from, recipients, xforward }: Envelope): Envelope {
  const path = ({ address, parameters }: ReversePath) => ({ address, parameters: new Map(parameters) });
  return {
    from: path(from),
    recipients: recipients.map(path),
    xforward: xforward.map(attribute => ({ ...attribute })),
  };
}

/** Everything that a client's octets bring about, for comparing one cut with another. */
export function outcome(chunks: Iterable<string>, options: SessionOptions = smtp, owner: Owner = {}) {
  const conversation = new Conversation(options, owner);
  for (const chunk of chunks) conversation.say(chunk);
  const { output, messages, begun, session } = conversation;
  return { output, messages, begun, closed: session.closed, inTransaction: session.inTransaction };
}
