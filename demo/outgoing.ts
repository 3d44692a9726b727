/** Outgoing mail: what users of the relay send through the filter. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createTransport } from 'nodemailer';
import type { Demo } from './demo.ts';
import { type Addressing, encryptedLetter, type Letter, makePerson, read, readableLetter } from './messages.ts';
import { burst, domain, type Relay } from './relay.ts';
import type { Scene } from './scene.ts';

const alice = `alice@${domain}`;
const mallory = `mallory@${domain}`;
const hasty = `hasty@${domain}`;
const bob = 'bob@other.example';

const accepted = '250 …';
const tooMany = 3;

export const outgoing: Demo = {
  mode: 'outgoing',
  title: 'Outgoing mail: what users of the relay send',

  async scenes(): Promise<readonly Scene[]> {
    const reader = await makePerson(bob);
    const toBob = (addressing: Omit<Addressing, 'to'>, text: string) =>
      encryptedLetter({ ...addressing, to: bob }, reader, text);
    const numbers = Array.from({ length: burst + tooMany }, (_, index) => index + 1);
    return [
      {
        sent: 'an encrypted message from alice to bob',
        letters: [await toBob({ from: alice }, 'Hello Bob!')],
        replies: [{ reply: accepted, times: 1 }],
        arrive: 1,
        read: async message => `bob reads "${await read(message, reader)}"`,
      },
      {
        sent: 'a readable message from alice to bob',
        letters: [await readableLetter({ from: alice, to: bob }, 'Hello Bob!')],
        replies: [{ reply: '523 Encryption Needed: Invalid Unencrypted Mail', times: 1 }],
        arrive: 0,
      },
      {
        sent: 'an encrypted message from mallory, with alice in its From',
        letters: [await toBob({ from: alice, envelopeFrom: mallory }, 'I am Alice')],
        replies: [{ reply: `500 5.7.1 Invalid FROM <${alice}> for <${mallory}>`, times: 1 }],
        arrive: 0,
      },
      {
        sent: `${numbers.length} encrypted messages from hasty at once, where ${burst} are allowed`,
        letters: await Promise.all(numbers.map(number => toBob({ from: hasty }, `Message ${number}`))),
        replies: [
          { reply: accepted, times: burst },
          { reply: `450 4.7.1: Too much mail from <${hasty}>, retry in … s`, times: tooMany },
        ],
        arrive: burst,
      },
    ];
  },

  send({ smtpPort }: Relay, letter: Letter): Promise<string> {
    return send(smtpPort, letter);
  },

  async invitation({ directory, smtpPort }: Relay): Promise<readonly string[]> {
    const file = join(directory, 'encrypted.eml');
    const { message } = await encryptedLetter({ from: alice, to: bob }, await makePerson(bob), 'Hello again!');
    writeFileSync(file, message);
    return [
      `Outgoing mail is taken on 127.0.0.1 port ${smtpPort}. A readable message, which is refused:`,
      '',
      `  swaks --server 127.0.0.1:${smtpPort} --from ${alice} --to ${bob}`,
      '',
      'An encrypted one, which passes:',
      '',
      `  curl smtp://127.0.0.1:${smtpPort} --mail-from ${alice} --mail-rcpt ${bob} \\`,
      `    --upload-file ${file}`,
    ];
  },
};

/** Sends one letter with nodemailer over a connection of its own: the reply that decides. */
async function send(port: number, { from, to, message }: Letter): Promise<string> {
  const transport = createTransport({ host: '127.0.0.1', port, ignoreTLS: true, name: 'client.example' });
  try {
    const { response } = await transport.sendMail({ envelope: { from, to }, raw: message });
    return response;
  } catch (error) {
    const { response, message } = error as Error & { response?: string };
    return response ?? `no reply: ${message}`;
  } finally {
    transport.close();
  }
}
