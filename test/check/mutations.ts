/** Ways to make a real message one that must be refused; each changes one thing and fits every message of its class. */
import { base64Lines } from '../message/samples.ts';

export type Mutation = readonly [name: string, change: (mail: string) => string];

function boundaryOf(mail: string): string {
  return /boundary="([^"]+)"/.exec(mail)?.[1] ?? '';
}

function bodyStart(mail: string): number {
  return mail.indexOf('\r\n\r\n') + 4;
}

function inHeader(mail: string, change: (header: string) => string): string {
  return change(mail.slice(0, bodyStart(mail))) + mail.slice(bodyStart(mail));
}

/** Changes the message from its last occurrence of `text` on. */
function fromLast(mail: string, text: string, change: (tail: string) => string): string {
  const at = mail.lastIndexOf(text);
  return mail.slice(0, at) + change(mail.slice(at));
}

/** Changes the octets inside the armor. */
function packets(mail: string, change: (octets: string) => string): string {
  return mail.replace(
    /(-----BEGIN PGP MESSAGE-----\r\n\r\n)([^=-]+=*\r\n)(=....\r\n)?/,
    (_, begin: string, lines: string) => {
      const octets = Buffer.from(lines, 'base64').toString('latin1');
      return `${begin}${base64Lines(change(octets), 64).join('\r\n')}\r\n`;
    },
  );
}

const field = (line: string) => (mail: string) => `${line}\r\n${mail}`;
const withPart = (part: string) => (mail: string) => {
  const delimiter = `--${boundaryOf(mail)}`;
  return fromLast(mail, `${delimiter}--`, tail => `${delimiter}\r\n${part}\r\n${tail}`);
};

/** For multiparts of any kind, where nothing may stand outside the parts that are expected. */
export const structural: readonly Mutation[] = [
  ['top type text/plain', mail => inHeader(mail, header => header.replace(/multipart\/\w+/, 'text/plain'))],
  ['a second Content-Type', field('Content-Type: text/plain')],
  ['a second Content-Type, blank before the colon', field('content-type : text/plain')],
  ['a second boundary', mail => inHeader(mail, header => header.replace('boundary=', 'boundary=other; boundary='))],
  [
    'an RFC 2231 boundary beside',
    mail => inHeader(mail, header => header.replace('boundary=', 'boundary*0="x"; boundary=')),
  ],
  ['another boundary', mail => inHeader(mail, header => header.replace('boundary="', 'boundary="x'))],
  ['no boundary', mail => inHeader(mail, header => header.replace('boundary=', 'border='))],
  ['an open comment in Content-Type', mail => inHeader(mail, header => header.replace('boundary=', '(x; boundary='))],
  ['text behind the last delimiter', mail => `${mail}readable\r\n`],
  ['a part behind the last delimiter', mail => `${mail}--${boundaryOf(mail)}\r\n\r\nreadable\r\n`],
  ['text on the last delimiter', mail => fromLast(mail, '--', tail => tail.replace('--', '-- readable'))],
  ['no last delimiter', mail => mail.slice(0, mail.lastIndexOf(`--${boundaryOf(mail)}`))],
  ['text before the first delimiter', mail => mail.replace('\r\n\r\n', `\r\n\r\ncaf\xe9${'readable'.repeat(40)}\r\n`)],
  ['one part more', withPart('Content-Type: text/plain\r\n\r\nreadable')],
  ['one empty part more', withPart('\r\n')],
  ['a delimiter that goes on', mail => mail.replace(`\r\n--${boundaryOf(mail)}\r\n`, `\r\n--${boundaryOf(mail)}x\r\n`)],
  [
    'a line without colon in a part header',
    mail => fromLast(mail, '\r\nContent-Type: ', tail => `\r\nreadable${tail}`),
  ],
  ['an unknown transfer encoding', mail => fromLast(mail, 'Encoding: 7bit', tail => tail.replace('7bit', 'x-7bit'))],
  [
    'two transfer encodings',
    mail => fromLast(mail, 'Content-Transfer', tail => `Content-Transfer-Encoding: 7bit\r\n${tail}`),
  ],
  ['a wrong transfer encoding', mail => fromLast(mail, 'Encoding: 7bit', tail => tail.replace('7bit', 'base64'))],
  [
    'another type of the last part',
    mail => fromLast(mail, '\r\nContent-Type: ', tail => tail.replace(/: \w+\//, ': image/')),
  ],
  [
    'two types of the last part',
    mail => fromLast(mail, '\r\nContent-Type: ', tail => `\r\nContent-Type: text/html${tail}`),
  ],
  [
    'the last part a multipart',
    mail => fromLast(mail, '\r\nContent-Type: ', tail => tail.replace(/: \w+\/[\w-]+/, ': multipart/mixed')),
  ],
  ['nothing behind the header', mail => mail.slice(0, bodyStart(mail))],
];

const begin = '-----BEGIN PGP MESSAGE-----';
const end = '-----END PGP MESSAGE-----';

export const encryptedOnly: readonly Mutation[] = [
  ['Version: 2', mail => mail.replace('\r\nVersion: 1\r\n', '\r\nVersion: 2\r\n')],
  ['text behind Version: 1', mail => mail.replace('\r\nVersion: 1\r\n', '\r\nVersion: 1\r\nreadable\r\n')],
  ['another type of the first part', mail => mail.replace('Type: application/pgp-encrypted', 'Type: text/plain')],
  ['text before BEGIN', mail => mail.replace(begin, `readable\r\n${begin}`)],
  ['text behind END', mail => mail.replace(end, `${end}\r\nreadable`)],
  [
    'the armor twice',
    mail => mail.replace(new RegExp(String.raw`${begin}[\s\S]*${end}`), armor => `${armor}\r\n${armor}`),
  ],
  ['armor of a signature', mail => mail.replaceAll('PGP MESSAGE', 'PGP SIGNATURE')],
  ['no blank line behind BEGIN', mail => mail.replace(`${begin}\r\n\r\n`, `${begin}\r\n`)],
  ['text for an armor header', mail => mail.replace(`${begin}\r\n`, `${begin}\r\nreadable\r\n`)],
  ['a blank in the base64', mail => fromLast(mail, begin, armor => armor.replace(/\r\n(\w{4})/, '\r\n$1 '))],
  ['an octet that is no base64', mail => fromLast(mail, begin, armor => armor.replace(/\r\n(\w{4})\w/, '\r\n$1!'))],
  ['a line of base64 less', mail => mail.replace(/\r\n[A-Za-z0-9+/]{64}\r\n/, '\r\n')],
  ['a line of base64 twice', mail => mail.replace(/\r\n[A-Za-z0-9+/]{64}\r\n/, line => line + line.slice(2))],
  ['a CRC line that is text', mail => fromLast(mail, `\r\n${end}`, tail => `\r\n=readable${tail}`)],
  ['no END line', mail => mail.replace(end, '')],
  ['a literal packet before', mail => packets(mail, octets => `\xcb\x0ereadable-text.${octets}`)],
  ['a padding packet before', mail => packets(mail, octets => `\xd5\x0ereadable-text.${octets}`)],
  ['a marker packet before', mail => packets(mail, octets => `\xca\x03PGP${octets}`)],
  ['octets behind', mail => packets(mail, octets => `${octets}readable`)],
  ['a packet behind', mail => packets(mail, octets => `${octets}\xd5\x08readable`)],
  ['an octet less', mail => packets(mail, octets => octets.slice(0, -1))],
  ['only text', mail => packets(mail, () => 'This is readable for everybody.')],
];

/** For any message: who it says it is from. */
export const forged: readonly Mutation[] = [
  ['a second From', field('From: vic@two.test')],
  ['a second From, blank before the colon', field('from\t: vic@two.test')],
  ['no From', mail => mail.replace('\r\nFrom:', '\r\nX-From:')],
  ['another From', mail => mail.replace(/\r\nFrom:.*\r\n/, '\r\nFrom: vic@two.test\r\n')],
  ['two addresses', mail => mail.replace(/\r\nFrom:.*/, line => `${line}, vic@two.test`)],
  ['an unquoted address for a name', mail => mail.replace(/\r\nFrom:.*(<.*>)/, '\r\nFrom: vic@two.test $1')],
  ['a group', mail => mail.replace(/\r\nFrom:(.*)/, '\r\nFrom: us: $1;')],
];
