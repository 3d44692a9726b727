/** Messages as mail programs write them: really encrypted ones (RFC 3156), and readable ones. */
import MimeNode from 'nodemailer/lib/mime-node';
import { createMessage, decrypt, encrypt, generateKey, type PrivateKey, type PublicKey, readMessage } from 'openpgp';

/** Somebody with an address and keys. */
export type Person = Readonly<{ address: string; publicKey: PublicKey; privateKey: PrivateKey }>;

/** A message in its envelope. */
export type Letter = Readonly<{ from: string; to: readonly string[]; message: Buffer }>;

/** Who a message says it is from and to; its envelope says the same at first. */
export type Addressing = Omit<Letter, 'message'>;

/** In what is encrypted, between header and text: openpgp turns CRLF into LF. */
const blankLine = '\n\n';

export async function makePerson(address: string): Promise<Person> {
  const keys = await generateKey({ userIDs: [{ email: address }], format: 'object' });
  return { address, ...keys };
}

/** A message that nobody but `reader` can read. */
export async function encryptedLetter(addressing: Addressing, reader: Person, text: string): Promise<Letter> {
  const plain = `Content-Type: text/plain; charset=utf-8${blankLine}${text}`;
  const armored = await encrypt({ message: await createMessage({ text: plain }), encryptionKeys: reader.publicKey });
  const root = mimeNode('multipart/encrypted; protocol="application/pgp-encrypted"', addressing);
  const part = (type: string) => root.createChild(type).setHeader('Content-Transfer-Encoding', '7bit');
  part('application/pgp-encrypted').setContent('Version: 1');
  part('application/octet-stream; name="encrypted.asc"').setContent(armored);
  return await letter(root, addressing, '[...]');
}

export async function readableLetter(addressing: Addressing, text: string): Promise<Letter> {
  const root = mimeNode('text/plain; charset=utf-8', addressing).setContent(`${text}\n`);
  return await letter(root, addressing, 'Anyone can read this');
}

/** The text that `reader` finds in a message of `encryptedLetter`. */
export async function read(message: Buffer, reader: Person): Promise<string> {
  const armor = /^-----BEGIN PGP MESSAGE-----.*^-----END PGP MESSAGE-----/ms.exec(message.toString('latin1'));
  const encrypted = await readMessage({ armoredMessage: armor?.[0] ?? '' });
  const { data } = await decrypt({ message: encrypted, decryptionKeys: reader.privateKey });
  return data.slice(data.indexOf(blankLine) + blankLine.length);
}

/** CRLF throughout: armor comes with bare LFs, which no mail may have. */
function mimeNode(type: string, { from }: Addressing): MimeNode {
  return new MimeNode(type, { hostname: from.slice(from.indexOf('@') + 1), newline: 'win' });
}

async function letter(root: MimeNode, { from, to }: Addressing, subject: string): Promise<Letter> {
  const message = await root.setHeader({ from, to: to.join(', '), subject }).build();
  return { from, to, message };
}
