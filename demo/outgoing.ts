/** Outgoing mail: what users of the relay send through the filter. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { overSmtp } from './carriers.ts';
import type { Demo } from './demo.ts';
import { encryptedLetter, makePerson, read, readableLetter } from './messages.ts';
import { burst } from './relay.ts';
import type { Scene } from './scene.ts';
import { domain, type World } from './world.ts';

const alice = `alice@${domain}`;
const mallory = `mallory@${domain}`;
const hasty = `hasty@${domain}`;
const bob = 'bob@other.example';

const accepted = '250 …';
const tooMany = 3;

export const outgoing: Demo = {
  mode: 'outgoing',
  title: 'Outgoing mail: what users of the relay send',
  arrived: 'arrived at Postfix',

  async scenes({ relay }: World): Promise<readonly Scene[]> {
    const reader = await makePerson(bob);
    const toBob = (from: string, text: string) => encryptedLetter({ from, to: [bob] }, reader, text);
    const numbers = Array.from({ length: burst + tooMany }, (_, index) => index + 1);
    const send = overSmtp(relay.ports.outgoing);
    return [
      {
        sent: 'an encrypted message from alice to bob',
        letters: [await toBob(alice, 'Hello Bob!')],
        send,
        replies: [{ reply: accepted, times: 1 }],
        arrive: 1,
        read: async message => `bob reads "${await read(message, reader)}"`,
      },
      {
        sent: 'a readable message from alice to bob',
        letters: [await readableLetter({ from: alice, to: [bob] }, 'Hello Bob!')],
        send,
        replies: [{ reply: '523 Encryption Needed: Invalid Unencrypted Mail', times: 1 }],
        arrive: 0,
      },
      {
        sent: 'an encrypted message from mallory, with alice in its From',
        letters: [{ ...(await toBob(alice, 'I am Alice')), from: mallory }],
        send,
        replies: [{ reply: `500 5.7.1 Invalid FROM <${alice}> for <${mallory}>`, times: 1 }],
        arrive: 0,
      },
      {
        sent: `${numbers.length} encrypted messages from hasty at once, where ${burst} are allowed`,
        letters: await Promise.all(numbers.map(number => toBob(hasty, `Message ${number}`))),
        send,
        replies: [
          { reply: accepted, times: burst },
          { reply: `450 4.7.1: Too much mail from <${hasty}>, retry in … s`, times: tooMany },
        ],
        arrive: burst,
      },
    ];
  },

  async invitation({ relay: { directory, ports } }: World): Promise<readonly string[]> {
    const file = join(directory, 'encrypted.eml');
    const { message } = await encryptedLetter({ from: alice, to: [bob] }, await makePerson(bob), 'Hello again!');
    writeFileSync(file, message);
    return [
      `Outgoing mail is taken on 127.0.0.1 port ${ports.outgoing}. A readable message, which is refused:`,
      '',
      `  swaks --server 127.0.0.1:${ports.outgoing} --from ${alice} --to ${bob}`,
      '',
      'An encrypted one, which passes:',
      '',
      `  curl smtp://127.0.0.1:${ports.outgoing} --mail-from ${alice} --mail-rcpt ${bob} \\`,
      `    --upload-file ${file}`,
    ];
  },
};
