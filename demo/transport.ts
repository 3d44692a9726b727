/** Transport: what leaves the relay for others. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Demo } from './demo.ts';
import { overLmtp } from './lmtp.ts';
import { encryptedLetter, makePerson, read } from './messages.ts';
import type { Scene } from './scene.ts';
import { publishedSigner, signed } from './signing.ts';
import { classicDomain, deadDomain, domain, otherDomain, unknownUser, type World } from './world.ts';

const alice = `alice@${domain}`;
const bob = `bob@${otherDomain}`;
const frank = `frank@${classicDomain}`;
const carol = `carol@${deadDomain}`;
const erin = `erin@${deadDomain}`;
const dave = 'dave@missing.example';

const byHttps = '250 2.0.0 OK (HTTPS)';
const bySmtp = '250 2.0.0 OK (SMTP)';
const notConnected = `451 4.4.1 mx.${deadDomain}[…]: connect: connection refused (ECONNREFUSED)`;

export const transport: Demo = {
  mode: 'transport',
  title: 'Transport: what leaves for other servers, by HTTPS or by SMTP with STARTTLS',
  arrived: 'arrived at their Postfix',

  async scenes({ relay, other, dns }: World): Promise<readonly Scene[]> {
    other.makeMailbox(bob, ['enforceE2EEincoming']);
    const send = overLmtp(relay.ports.transport);
    const reader = await makePerson(bob);
    const unsigned = await encryptedLetter({ from: alice, to: [bob] }, reader, 'Hello Bob!');
    const letter = await signed(unsigned, publishedSigner(dns, domain));
    const addressedTo = (...to: string[]) => ({ ...letter, to });
    return [
      {
        sent: 'an encrypted, signed message from alice to bob at another relay, which has HTTPS',
        letters: [letter],
        send,
        replies: [{ reply: byHttps, times: 1 }],
        arrive: 1,
        arriveAs: { at: otherDomain },
        read: async message => `bob reads "${await read(message, reader)}"`,
      },
      {
        sent: 'the same to frank, whose server has no HTTPS',
        letters: [addressedTo(frank)],
        send,
        replies: [{ reply: bySmtp, times: 1 }],
        arrive: 1,
        arriveAs: { at: `mx.${classicDomain}` },
      },
      {
        sent: 'the same to three in one transaction: bob, somebody unknown, and carol, whose server is down',
        letters: [addressedTo(bob, unknownUser, carol)],
        send,
        replies: [
          { reply: `${bob}: ${byHttps}`, times: 1 },
          { reply: `${unknownUser}: 550 5.1.1 … (mx.${classicDomain} said)`, times: 1 },
          { reply: `${carol}: ${notConnected}`, times: 1 },
        ],
        arrive: 1,
        arriveAs: { to: [bob], at: otherDomain },
      },
      {
        sent: 'the same to erin, whose server is that of carol: it is not tried again so soon',
        letters: [addressedTo(erin)],
        send,
        replies: [{ reply: `at RCPT: ${notConnected} (next try in … s)`, times: 1 }],
        arrive: 0,
      },
      {
        sent: 'the same to dave, whose domain does not exist',
        letters: [addressedTo(dave)],
        send,
        replies: [{ reply: '550 5.1.2 …', times: 1 }],
        arrive: 0,
      },
    ];
  },

  async invitation({ relay, dns }: World): Promise<readonly string[]> {
    const file = join(relay.directory, 'leaving.eml');
    const letter = await encryptedLetter({ from: alice, to: [bob] }, await makePerson(bob), 'Hello again!');
    const { message } = await signed(letter, publishedSigner(dns, domain, 'by-hand'));
    writeFileSync(file, message);
    return [
      `Mail for others is taken by LMTP on 127.0.0.1 port ${relay.ports.transport}. An encrypted and signed message to`,
      'bob, which goes by HTTPS, to frank, which goes by SMTP, and to two who do not get it:',
      '',
      `  swaks --server 127.0.0.1:${relay.ports.transport} --protocol LMTP --from ${alice} \\`,
      `    --to ${bob},${frank},${unknownUser},${carol} \\`,
      `    --data @${file}`,
    ];
  },
};
