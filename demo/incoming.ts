/** Incoming mail: what other servers send to users of the relay through the filter. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Signer } from '../test/peers/signer.ts';
import { overHttp, overSmtp } from './carriers.ts';
import type { Demo } from './demo.ts';
import { encryptedLetter, type Letter, makePerson, read, readableLetter } from './messages.ts';
import type { Scene } from './scene.ts';
import { publishedSigner, signed } from './signing.ts';
import { domain, type World } from './world.ts';

/** Has a mailbox for encrypted mail only; carol's takes readable mail too. */
const alice = `alice@${domain}`;
const carol = `carol@${domain}`;
const bob = 'bob@other.example';
const eve = 'eve@unreachable.example';
const forwarder = 'list@forwarder.example';

const accepted = '250 …';

export const incoming: Demo = {
  mode: 'incoming',
  title: 'Incoming mail: what other servers send to users of the relay',
  arrived: 'arrived at Postfix',

  async scenes({ relay, dns }: World): Promise<readonly Scene[]> {
    relay.makeMailbox(alice, ['enforceE2EEincoming']);
    relay.makeMailbox(carol);
    const [smtp, http] = [overSmtp(relay.ports.incoming), overHttp(relay.ports.http)];
    const bobs = publishedSigner(dns, 'other.example');
    const eves = new Signer('unreachable.example', 'opendkim', { algorithm: 'ed25519-sha256' });
    dns.txt(eves.name, 'SERVFAIL');
    const reader = await makePerson(alice);
    const toAlice = (from: string, text: string) => encryptedLetter({ from, to: [alice] }, reader, text);
    const unsigned = await toAlice(bob, 'Hello Alice!');
    const letter = await signed(unsigned, bobs);
    const readable = await signed(await readableLetter({ from: bob, to: [alice] }, 'Hello Alice!'), bobs);
    return [
      {
        sent: 'an encrypted message from bob to alice, signed by his relay (DKIM)',
        letters: [letter],
        send: smtp,
        replies: [{ reply: accepted, times: 1 }],
        arrive: 1,
        read: async message => `alice reads "${await read(message, reader)}"`,
      },
      {
        sent: 'the same, not signed',
        letters: [unsigned],
        send: smtp,
        replies: [{ reply: '554 5.7.1 No DKIM signature found', times: 1 }],
        arrive: 0,
        keep: 1,
      },
      {
        sent: 'the signed one, its Subject changed on the way',
        letters: [withSubject(letter, 'Urgent')],
        send: smtp,
        replies: [{ reply: '554 5.7.1 No valid DKIM signature found', times: 1 }],
        arrive: 0,
        keep: 1,
      },
      {
        sent: 'the signed one over HTTP (/mxdeliv), to alice and carol',
        letters: [{ ...letter, to: [alice, carol] }],
        send: http,
        replies: [{ reply: `HTTP 200: ${accepted}`, times: 1 }],
        arrive: 1,
      },
      {
        sent: 'the signed one by way of a forwarder with a MAIL FROM of its own',
        letters: [{ ...letter, from: forwarder }],
        send: smtp,
        replies: [{ reply: accepted, times: 1 }],
        arrive: 1,
        arriveAs: { from: '' },
      },
      {
        sent: 'a readable message from bob, signed, to alice, who takes encrypted ones only',
        letters: [readable],
        send: smtp,
        replies: [{ reply: '523 Encryption Needed: Invalid Unencrypted Mail', times: 1 }],
        arrive: 0,
      },
      {
        sent: 'the same to carol, who takes readable ones too',
        letters: [{ ...readable, to: [carol] }],
        send: smtp,
        replies: [{ reply: accepted, times: 1 }],
        arrive: 1,
      },
      {
        sent: 'an encrypted message from eve, signed; the DNS of her domain fails',
        letters: [await signed(await toAlice(eve, 'Hello Alice!'), eves)],
        send: smtp,
        replies: [{ reply: '451 4.7.5 …', times: 1 }],
        arrive: 0,
      },
    ];
  },

  async invitation({ relay: { directory, ports, kept }, dns }: World): Promise<readonly string[]> {
    const file = join(directory, 'signed.eml');
    const letter = await encryptedLetter({ from: bob, to: [alice] }, await makePerson(alice), 'Hello again!');
    const { message } = await signed(letter, publishedSigner(dns, 'other.example', 'by-hand'));
    writeFileSync(file, message);
    return [
      `Incoming mail is taken on 127.0.0.1 port ${ports.incoming}. An encrypted and signed message, which passes:`,
      '',
      `  curl smtp://127.0.0.1:${ports.incoming} --mail-from ${bob} --mail-rcpt ${alice} \\`,
      `    --upload-file ${file}`,
      '',
      'The same over HTTP:',
      '',
      `  curl http://127.0.0.1:${ports.http}/mxdeliv --header 'X-MAIL-FROM: ${bob}' \\`,
      `    --header 'X-MAIL-TO: ${alice}' --data-binary @${file}`,
      '',
      `A readable one: ${alice} takes none, and ${carol} none that is not signed:`,
      '',
      `  swaks --server 127.0.0.1:${ports.incoming} --from ${bob} --to ${alice}`,
      `  swaks --server 127.0.0.1:${ports.incoming} --from ${bob} --to ${carol}`,
      '',
      `What is refused for want of a valid signature is kept below ${kept.directory}`,
    ];
  },
};

function withSubject(letter: Letter, subject: string): Letter {
  const message = letter.message.toString('latin1').replace(/^Subject: .*$/m, `Subject: ${subject}`);
  return { ...letter, message: Buffer.from(message, 'latin1') };
}
