// Postfix reads a message again after the filter, rewrites fields and breaks lines: what the mailbox gets must still be what was judged.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { strictMailbox } from '../message/strict-mailbox.ts';
import { isEncrypted } from '../message/strict-reader.ts';
import { sendOne } from './client.ts';
import { author, describeIncoming, signedSealed, vic } from './incoming.ts';
import { sealed } from './mail.ts';
import { sendOverHttp } from './mxdeliv-client.ts';
import { bodies, contentTypes, fromFields } from './odd-headers.ts';
import { lmtpCleanup, xforward } from './postfix-setup.ts';
import type { Choices, Relay } from './relay.ts';
import type { Delivery } from './sink.ts';

// Any From passes, however it is written: no signature has to fit.
process.env.FILTERMAIL_SKIP_DKIM = 'true';

const setups: Record<string, Choices> = {
  'reinject smtpd as chatmail has it': {},
  'reinject smtpd with XFORWARD': { reinject: [xforward] },
  "chatmail's cleanup": { main: lmtpCleanup },
};

const other = 'list@forwarder.test';
const boundary = 'bbbbbbbbbbbb';
const [, typical = '', content = ''] =
  /^([\s\S]*?)(\r\n\r\n[\s\S]*)$/.exec(
    sealed({ from: author })
      .toString('latin1')
      .replaceAll(/[0-9a-f]{32}/g, boundary),
  ) ?? [];

/** A typical encrypted message without the field of that name. */
function without(name: string): string {
  return fieldsOf(typical)
    .filter(field => !isNamed(field, name))
    .join('\r\n');
}

/** `end` is the rest of the header, or of the whole message. */
type Written = Readonly<{ first: readonly string[]; later: readonly string[]; end: string }>;

const written: Record<string, Written> = {
  'From fields': { first: fromFields, later: fromFields, end: `${without('From')}${content}` },
  'Content-Type fields': {
    first: contentTypes(boundary),
    later: contentTypes(boundary),
    end: `${without('Content-Type')}${content}`,
  },
  bodies: { first: [], later: bodies(boundary, content).map(body => `${typical}${body}`), end: '' },
};

for (const [name, choices] of Object.entries(setups)) {
  describeIncoming(`what reaches the mailbox, ${name}`, choices, relay => {
    for (const [what, { first, later, end }] of Object.entries(written)) {
      test(`${what} through Postfix`, async () => {
        await assertUnchanged(
          relay(),
          later.map(text => `X-Before: x\r\n${text}\r\n${end}`),
          (from, message) => sendOne(relay().entryPort, { from, to: [vic], message }),
        );
      });

      test(`${what} over HTTP`, async () => {
        const messages = [
          ...later.map(text => `X-Before: x\r\n${text}\r\n${end}`),
          ...first.map(text => `${text}\r\n${end}`),
        ];
        await assertUnchanged(relay(), messages, (from, message) => sendOverHttp(relay().httpPort, from, vic, message));
      });
    }
  });
}

describeIncoming('a message over HTTP that begins like a line of a mailbox file', {}, relay => {
  // Postfix makes another field of that line; when the next one begins with a blank, it ends the header before it.
  const tops = [
    ...['>From : x', '>>From : x', '>from : x', '>FROM : x', '>From  : x', '>From\t: x'].map(
      line => `${line}\r\n\ty\r\n`,
    ),
    '>From : x\r\n>From : x\r\n y\r\n',
    '>From : x\r\n',
  ];
  for (const top of tops) {
    test(JSON.stringify(top), async () => {
      const message = Buffer.concat([Buffer.from(top), await signedSealed()]);
      for (const from of [author, other])
        assert.match(await sendOverHttp(relay().httpPort, from, vic, message), /^(?:250|550) /);
      await relay().postfix.idle();
      assert.deepEqual(
        relay()
          .sink.take()
          .flatMap(delivery => faults(delivery, author)),
        [],
      );
    });
  }
});

async function assertUnchanged(
  relay: Relay,
  messages: readonly string[],
  deliver: (from: string, message: Buffer) => Promise<string>,
): Promise<void> {
  // To find it again when it arrives: no cleanup takes the subject.
  const numbered = messages.map((message, number) => message.replace(/^Subject: .*\r$/m, `Subject: ${number}\r`));
  let accepted = 0;
  for (const message of numbered) {
    for (const from of [author, other]) {
      if ((await deliver(from, Buffer.from(message, 'latin1'))).startsWith('250')) accepted++;
    }
  }
  await relay.postfix.idle();
  const deliveries = relay.sink.take();
  assert.equal(deliveries.length, accepted);
  assert.ok(accepted >= messages.length / 5, `only ${accepted} of ${messages.length} were accepted`);
  const found = deliveries.flatMap(delivery => {
    const number = /Subject: (\d+)\r/.exec(delivery.message.toString('latin1'))?.[1];
    const sent = numbered[Number(number)] ?? '';
    const [from = '', ...more] = fieldsOf(sent).filter(field => isNamed(field, 'From'));
    const judged = more.length > 0 ? null : strictMailbox(bodyOf(from));
    return faults(delivery, judged).map(fault => `${fault}: ${JSON.stringify(sent.slice(0, 200))}`);
  });
  assert.deepEqual(found, []);
}

/** How a reader of what arrived is led to another author than was judged, or to readable text. */
function faults({ message, from }: Delivery, judged: string | null): string[] {
  const text = message.toString('latin1');
  const authors = fieldsOf(text)
    .filter(field => isNamed(field, 'From'))
    .map(field => strictMailbox(bodyOf(field)));
  const found: string[] = [];
  if (judged === null || authors.length !== 1 || authors[0] !== judged) found.push(`${judged} became ${authors}`);
  if (from.address !== '' && from.address.toLowerCase() !== judged?.toLowerCase()) found.push(`sender ${from.address}`);
  if (!isEncrypted(text, 'incoming')) found.push('readable');
  return found;
}

function fieldsOf(message: string): string[] {
  const end = message.indexOf('\r\n\r\n');
  return message.slice(0, end < 0 ? message.length : end).split(/\r\n(?![ \t])/);
}

function isNamed(field: string, name: string): boolean {
  return field.slice(0, field.indexOf(':')).trimEnd().toLowerCase() === name.toLowerCase();
}

function bodyOf(field: string): string {
  return field.slice(field.indexOf(':') + 1);
}
