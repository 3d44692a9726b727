/** Messages that a complete OpenPGP implementation makes. */
import assert from 'node:assert/strict';
import { ReadableStream } from 'node:stream/web';
import { test } from 'node:test';
import { deflateSync } from 'node:zlib';
import * as openpgp from 'openpgp';
import { type Direction, whyUnencrypted } from '../../src/check/encryption.ts';
import { readInAllCuts } from '../message/cuts.ts';
import { armorPart, base64Lines, encryptedMail, octetStream } from '../message/samples.ts';
import { scan } from '../message/scan.ts';

const v6 = { v6Keys: true, aeadProtect: true };
const user = { userIDs: [{ name: 'Me', email: 'me@one.test' }], format: 'object' as const };
const [me, vic, rsa, modern] = await Promise.all([
  openpgp.generateKey(user),
  openpgp.generateKey(user),
  openpgp.generateKey({ ...user, type: 'rsa', rsaBits: 2048 }),
  openpgp.generateKey({ ...user, config: v6 }),
]);
const text = () => openpgp.createMessage({ text: 'This is readable once it is decrypted.' });

/** Random octets, so that compression cannot shorten them. */
const random = (octets: number) => {
  const binary = new Uint8Array(octets);
  for (let at = 0; at < octets; at += 65_536) crypto.getRandomValues(binary.subarray(at, at + 65_536));
  return binary;
};

async function streamed(octets: number): Promise<string> {
  const source = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < octets; at += 10_000) controller.enqueue(random(10_000));
      controller.close();
    },
  });
  const message = await openpgp.createMessage({ binary: source as unknown as openpgp.WebStream<Uint8Array> });
  let armor = '';
  const armored = await openpgp.encrypt({ message, encryptionKeys: me.publicKey });
  for await (const piece of armored as unknown as AsyncIterable<string>) armor += piece;
  return armor;
}

/** Whether the encrypted data begin with a partial length. */
async function hasPartialLength(armor: string): Promise<boolean> {
  const { data } = await openpgp.unarmor(armor);
  const octets = data as Uint8Array;
  let at = 0;
  for (;;) {
    assert.ok(at < octets.length, 'the encrypted data');
    const tag = (octets[at] ?? 0) & 0x3f;
    const length = octets[at + 1] ?? 0;
    if (tag === 18) return length >= 224 && length < 255;
    assert.ok(length < 224, 'a key has a short length');
    at += length < 192 ? 2 + length : 3 + ((length - 192) << 8) + (octets[at + 2] ?? 0) + 192;
  }
}

const encrypted: [name: string, make: () => Promise<string>][] = [
  ['for a v4 key (SEIPDv1)', async () => openpgp.encrypt({ message: await text(), encryptionKeys: me.publicKey })],
  [
    'for a v6 key (SEIPDv2)',
    async () => openpgp.encrypt({ message: await text(), encryptionKeys: modern.publicKey, config: v6 }),
  ],
  ['for an RSA key', async () => openpgp.encrypt({ message: await text(), encryptionKeys: rsa.publicKey })],
  ['for a password', async () => openpgp.encrypt({ message: await text(), passwords: 'secret' })],
  ['for a password (SEIPDv2)', async () => openpgp.encrypt({ message: await text(), passwords: 'secret', config: v6 })],
  [
    'for several keys and passwords',
    async () =>
      openpgp.encrypt({
        message: await text(),
        encryptionKeys: [me.publicKey, vic.publicKey, rsa.publicKey],
        passwords: ['secret', 'other'],
      }),
  ],
  [
    'for hidden keys',
    async () =>
      openpgp.encrypt({ message: await text(), encryptionKeys: [me.publicKey, vic.publicKey], wildcard: true }),
  ],
  [
    'signed and encrypted',
    async () => openpgp.encrypt({ message: await text(), encryptionKeys: me.publicKey, signingKeys: vic.privateKey }),
  ],
  [
    'compressed and encrypted',
    async () =>
      openpgp.encrypt({
        message: await text(),
        encryptionKeys: me.publicKey,
        config: { preferredCompressionAlgorithm: openpgp.enums.compression.zlib },
      }),
  ],
  [
    '300 kB',
    async () =>
      openpgp.encrypt({
        message: await openpgp.createMessage({ binary: random(300_000) }),
        encryptionKeys: me.publicKey,
      }),
  ],
  ['300 kB in partial lengths', () => streamed(300_000)],
  ['10 kB in partial lengths', () => streamed(10_000)],
];

const readable: [name: string, make: () => Promise<string>][] = [
  ['signed only', async () => openpgp.sign({ message: await text(), signingKeys: me.privateKey })],
  [
    'a detached signature',
    async () => openpgp.sign({ message: await text(), signingKeys: me.privateKey, detached: true }),
  ],
  [
    'cleartext signed',
    async () =>
      openpgp.sign({ message: await openpgp.createCleartextMessage({ text: 'readable' }), signingKeys: me.privateKey }),
  ],
  ['a literal message', async () => (await text()).armor()],
  ['a compressed message', async () => openpgp.armor(openpgp.enums.armor.message, await compressed())],
  ['a public key', async () => me.publicKey.armor()],
  ['a private key', async () => me.privateKey.armor()],
  [
    'a public key that is called a message',
    async () => openpgp.armor(openpgp.enums.armor.message, me.publicKey.write()),
  ],
  [
    'a literal message behind an encrypted one',
    async () => {
      const one = await openpgp.encrypt({ message: await text(), passwords: 'secret', format: 'binary' });
      const other = (await text()).write();
      return openpgp.armor(openpgp.enums.armor.message, Buffer.concat([one, other]));
    },
  ],
  [
    'a session key without data',
    async () => {
      return openpgp.encryptSessionKey({ data: random(32), algorithm: 'aes256', encryptionKeys: me.publicKey });
    },
  ],
];

/** A compressed data packet (RFC 9580 5.6), ZLIB, around a literal one. */
async function compressed(): Promise<Uint8Array> {
  const body = deflateSync((await text()).write());
  const packets = Buffer.concat([Buffer.from([0xc8, body.length + 1, 2]), body]);
  const message = await openpgp.readMessage({ binaryMessage: packets });
  assert.match(String(message.getText() ?? ''), /^This is readable/);
  return packets;
}

const crlf = (armor: string) => armor.replaceAll(/\r?\n/g, '\r\n').trimEnd();

/** The armor as each transfer encoding carries it. */
function mailsOf(armor: string): [encoding: string, mail: string][] {
  const encoding = (name: string) => `${octetStream}Content-Transfer-Encoding: ${name}\r\n`;
  return [
    ['7bit', encryptedMail({ second: armorPart(crlf(armor)) })],
    ['base64', encryptedMail({ second: armorPart(base64Lines(armor).join('\r\n'), encoding('base64')) })],
    [
      'quoted-printable',
      encryptedMail({ second: armorPart(crlf(armor).replaceAll('=', '=3D'), encoding('quoted-printable')) }),
    ],
    [
      'quoted-printable, LF',
      encryptedMail({
        second: armorPart(armor.replaceAll('=', '=3D').replaceAll(/\r?\n/g, '=0A=\r\n'), encoding('quoted-printable')),
      }),
    ],
  ];
}

const directions: readonly Direction[] = ['outgoing', 'incoming'];

test('encrypted messages pass in every transfer encoding', async t => {
  for (const [name, make] of encrypted) {
    await t.test(name, async () => {
      const armor = await make();
      if (name.includes('partial')) assert.ok(await hasPartialLength(armor));
      for (const [encoding, mail] of mailsOf(armor)) {
        const evidence = mail.length < 5000 ? readInAllCuts(mail, scan) : scan([mail]);
        for (const direction of directions) assert.equal(whyUnencrypted(evidence, direction), null, encoding);
      }
    });
  }
});

test('everything else is refused in every transfer encoding', async t => {
  for (const [name, make] of readable) {
    await t.test(name, async () => {
      for (const [encoding, mail] of mailsOf(await make())) {
        for (const direction of directions) {
          const why = whyUnencrypted(scan([mail]), direction);
          assert.equal(why?.reason, 'second part is not an OpenPGP message', encoding);
        }
      }
    });
  }
});

test('with armor headers only incoming mail passes', async () => {
  const config = { showVersion: true, showComment: true };
  const armor = await openpgp.encrypt({ message: await text(), passwords: 'secret', config });
  assert.match(armor, /\nComment: /);
  for (const [encoding, mail] of mailsOf(armor)) {
    assert.equal(whyUnencrypted(scan([mail]), 'incoming'), null, encoding);
    assert.equal(whyUnencrypted(scan([mail]), 'outgoing')?.reason, 'armor headers', encoding);
  }
});
