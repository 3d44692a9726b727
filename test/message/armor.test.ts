import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Armor, type ArmorFault, ArmorReader } from '../../src/message/armor.ts';
import { readInAllCuts } from './cuts.ts';
import {
  armored,
  base64Lines,
  beginLine,
  endLine,
  opaque,
  packet,
  partialPacket,
  pkesk,
  seipd,
  skesk,
} from './samples.ts';

function read(pieces: readonly string[]): Armor {
  const reader = new ArmorReader();
  for (const piece of pieces) reader.feed(piece);
  return reader.end();
}

/** SEIPD whose armor ends with no, one or two `=`. */
const unpadded = packet(18, opaque(249));
const onePadded = packet(18, opaque(251));
const twoPadded = packet(18, opaque(250));

const good: [name: string, text: string][] = [
  ['no padding', armored(unpadded)],
  ['one octet of padding', armored(onePadded)],
  ['two octets of padding', armored(twoPadded)],
  ['no CRC line', armored(unpadded, { crc: null })],
  ['no CRC line behind padding', armored(twoPadded, { crc: null })],
  ['a CRC line of all kinds of letters', armored(onePadded, { crc: '=+/09' })],
  ['a line end behind the END line', `${armored(pkesk + seipd)}\r\n`],
  ['300 line ends behind the END line', `${armored(pkesk + seipd)}${'\r\n'.repeat(300)}`],
  ['lines that end in LF', armored(skesk + seipd, { eol: '\n' })],
  ['lines that end in LF, and blank ones behind', `${armored(skesk + seipd, { eol: '\n' })}\n\n\n`],
  ['lines of 76', armored(pkesk + seipd, { width: 76 })],
  ['lines of 5', armored(pkesk + seipd, { width: 5 })],
  ['one long line', armored(pkesk + seipd, { width: 10_000 })],
  ['a blank line of blanks', armored(seipd).replace('-----\r\n\r\n', '-----\r\n \t\r\n')],
  ['partial lengths', armored(pkesk + partialPacket(18, [512, 1, 512], 9))],
  ['100 kB', armored(pkesk + packet(18, opaque(1000).repeat(100)))],
];

test('the samples are padded as their names say', () => {
  for (const [packets, padding] of [
    [unpadded, 0],
    [onePadded, 1],
    [twoPadded, 2],
  ] as const)
    assert.equal(/=*$/.exec(base64Lines(packets).join(''))?.[0].length, padding);
});

test('encrypted messages, cut at every offset', async t => {
  for (const [name, text] of good) {
    await t.test(name, () => assert.deepEqual(readInAllCuts(text, read), { fault: null, headers: false }));
  }
});

const headers: [name: string, lines: string[], fault: ArmorFault | null][] = [
  ['a version', ['Version: GnuPG v2'], null],
  ['an empty value', ['Version: '], null],
  ['no blank and no value', ['Version:'], null],
  ['several', ['Version: 1', 'Comment: a', 'Comment: https://x.test/?a=b', 'Hash: SHA256', 'Charset: utf-8'], null],
  ['a header of later times', ['X-Some-Thing2: a'], null],
  ['UTF-8', ['Comment: J\xc3\xb6rg'], null],
  ['4000 octets', [`Comment: ${'x'.repeat(4000)}`], null],
  ['a word without colon', ['readable'], 'armor header'],
  ['a sentence', ['This is readable.'], 'armor header'],
  ['no blank behind the colon', ['Version:1'], 'armor header'],
  ['a blank in the key', ['My Version: 1'], 'armor header'],
  ['a blank before the key', [' Version: 1'], 'armor header'],
  ['a key of digits', ['1: a'], 'armor header'],
  ['no key', [': a'], 'armor header'],
  ['a control character', ['Comment: \x1b[2J'], 'armor header'],
  ['NUL', ['Comment: \0'], 'armor header'],
  ['a second BEGIN line', [beginLine], 'armor header'],
  ['the END line', [endLine], 'armor header'],
  ['endless', Array.from({ length: 1000 }, () => 'Comment: endless'), 'armor header'],
  ['one endless', [`Comment: ${'x'.repeat(100_000)}`], 'armor header'],
];

test('armor headers, cut at every offset', async t => {
  for (const [name, lines, fault] of headers) {
    await t.test(name, () => {
      const armor = readInAllCuts(armored(pkesk + seipd, { headers: lines }), read);
      assert.equal(armor.fault, fault);
      if (fault === null) assert.ok(armor.headers);
    });
  }
});

/** One wrong octet or line in an otherwise right message, by the place where it stands. */
const wrong: [place: string, name: string, change: (text: string) => string, fault: ArmorFault][] = [
  ['before BEGIN', 'text', text => `Hello\r\n${text}`, 'no BEGIN line'],
  ['before BEGIN', 'a blank line', text => `\r\n${text}`, 'no BEGIN line'],
  ['before BEGIN', 'a blank', text => ` ${text}`, 'no BEGIN line'],
  ['before BEGIN', 'a byte order mark', text => `\xef\xbb\xbf${text}`, 'no BEGIN line'],
  ['before BEGIN', 'an endless line', text => `${'x'.repeat(20_000)}${text}`, 'no BEGIN line'],
  ['BEGIN line', 'one dash less', text => text.slice(1), 'no BEGIN line'],
  ['BEGIN line', 'one dash more', text => `-${text}`, 'no BEGIN line'],
  ['BEGIN line', 'lower case', text => text.replace('BEGIN', 'begin'), 'no BEGIN line'],
  ['BEGIN line', 'a blank behind', text => text.replace('-\r\n', '- \r\n'), 'no BEGIN line'],
  ['BEGIN line', 'text behind', text => text.replace('-\r\n', '-readable\r\n'), 'no BEGIN line'],
  ['BEGIN line', 'two blanks', text => text.replace('PGP ', 'PGP  '), 'no BEGIN line'],
  ['BEGIN line', 'a part number', text => text.replace('MESSAGE-', 'MESSAGE, PART 1/2-'), 'no BEGIN line'],
  ['BEGIN line', 'a signed message', text => text.replace('PGP', 'PGP SIGNED'), 'no BEGIN line'],
  ['BEGIN line', 'a public key', text => text.replaceAll('MESSAGE', 'PUBLIC KEY BLOCK'), 'no BEGIN line'],
  ['BEGIN line', 'a signature', text => text.replaceAll('MESSAGE', 'SIGNATURE'), 'no BEGIN line'],
  ['BEGIN line', 'no line end', text => text.replace('-\r\n\r\n', '-'), 'no BEGIN line'],
  ['blank line', 'none', text => text.replace('\r\n\r\n', '\r\n'), 'armor header'],
  ['blank line', 'a dot', text => text.replace('\r\n\r\n', '\r\n.\r\n'), 'armor header'],
  ['blank line', 'a no-break space', text => text.replace('\r\n\r\n', '\r\n\xa0\r\n'), 'armor header'],
  ['blank line', 'a form feed', text => text.replace('\r\n\r\n', '\r\n\f\r\n'), 'armor header'],
  ['base64 alphabet', 'a blank', text => inData(text, ' '), 'base64'],
  ['base64 alphabet', 'a tab', text => inData(text, '\t'), 'base64'],
  ['base64 alphabet', 'a form feed', text => inData(text, '\f'), 'base64'],
  ['base64 alphabet', 'a comma', text => inData(text, ','), 'base64'],
  ['base64 alphabet', 'base64url', text => inData(text, '_'), 'base64'],
  ['base64 alphabet', '8-bit', text => inData(text, '\xe9'), 'base64'],
  ['base64 alphabet', 'NUL', text => inData(text, '\0'), 'base64'],
  ['base64 alphabet', 'a colon in the last quantum', text => inLastQuantum(text, ':'), 'base64'],
  ['base64 alphabet', 'a dash', text => inData(text, '-'), 'armor tail'],
  ['base64 alphabet', 'padding in the middle', text => inData(text, '='), 'armor tail'],
  ['base64 alphabet', 'a blank at the end of a line', text => text.replace(/(\w{64})\r\n/, '$1 \r\n'), 'base64'],
  ['base64 alphabet', 'a blank before a line', text => text.replace(/(\w{4})\r\n(\w{4})/, '$1\r\n $2'), 'base64'],
  ['base64 alphabet', 'a line of blanks', text => text.replace('\r\n=', '\r\n  \r\n='), 'base64'],
  ['last quantum', 'one letter less', text => text.replace(/\w(=*\r\n=)/, '$1'), 'armor tail'],
  ['last quantum', 'one letter more', text => text.replace('\r\n=', 'A\r\n='), 'armor tail'],
  ['last quantum', 'two letters more', text => text.replace('\r\n=', 'AA\r\n='), 'armor tail'],
  ['padding', 'behind whole quanta', text => text.replace('\r\n=', '=\r\n='), 'armor tail'],
  ['padding', 'two behind whole quanta', text => text.replace('\r\n=', '==\r\n='), 'armor tail'],
  ['padding', 'four behind whole quanta', text => text.replace('\r\n=', '====\r\n='), 'armor tail'],
  ['CRC line', 'no letters', text => text.replace('=abcd', '='), 'armor tail'],
  ['CRC line', '3 letters', text => text.replace('=abcd', '=abc'), 'armor tail'],
  ['CRC line', '5 letters', text => text.replace('=abcd', '=abcde'), 'armor tail'],
  ['CRC line', 'text', text => text.replace('=abcd', '=Hello, this is readable'), 'armor tail'],
  ['CRC line', 'padding in it', text => text.replace('=abcd', '=abc='), 'armor tail'],
  ['CRC line', 'a wrong letter', text => text.replace('=abcd', '=ab:d'), 'armor tail'],
  ['CRC line', 'two equals signs', text => text.replace('=abcd', '==abcd'), 'armor tail'],
  ['CRC line', 'a blank behind', text => text.replace('=abcd', '=abcd '), 'armor tail'],
  ['CRC line', 'a blank before', text => text.replace('=abcd', ' =abcd'), 'base64'],
  ['CRC line', 'on the last line of data', text => text.replace('\r\n=abcd', '=abcd'), 'armor tail'],
  ['CRC line', 'before the data', text => text.replace('\r\n\r\n', '\r\n\r\n=abcd\r\n'), 'armor tail'],
  ['CRC line', 'in the middle of the data', text => text.replace(/(\w{64}\r\n)/, '$1=abcd\r\n'), 'armor tail'],
  ['CRC line', 'twice', text => text.replace('=abcd', '=abcd\r\n=abcd'), 'armor tail'],
  ['CRC line', 'a blank line behind', text => text.replace('=abcd\r\n', '=abcd\r\n\r\n'), 'armor tail'],
  ['CRC line', 'on the END line', text => text.replace('=abcd\r\n', '=abcd'), 'armor tail'],
  ['END line', 'none', text => text.replace(endLine, ''), 'armor tail'],
  ['END line', 'none, and no CRC line', text => text.replace(`=abcd\r\n${endLine}`, ''), 'armor tail'],
  ['END line', 'one dash less', text => text.slice(0, -1), 'armor tail'],
  ['END line', 'one dash less before', text => text.replace('\r\n-----END', '\r\n----END'), 'armor tail'],
  ['END line', 'one dash more', text => `${text}-`, 'armor tail'],
  ['END line', 'lower case', text => text.replace('END', 'end'), 'armor tail'],
  ['END line', 'of something else', text => text.replace('END PGP MESSAGE', 'END PGP SIGNATURE'), 'armor tail'],
  ['END line', 'a blank before', text => text.replace('-----END', ' -----END'), 'armor tail'],
  ['END line', 'the BEGIN line instead', text => text.replace('END', 'BEGIN'), 'armor tail'],
  ['END line', 'on the last line of data', text => text.replace('\r\n=abcd\r\n', ''), 'armor tail'],
  ['after END', 'a blank', text => `${text} `, 'armor tail'],
  ['after END', 'text on the line', text => `${text}readable`, 'armor tail'],
  ['after END', 'text on the next line', text => `${text}\r\nreadable\r\n`, 'armor tail'],
  ['after END', 'text after 300 line ends', text => `${text}${'\r\n'.repeat(300)}readable\r\n`, 'armor tail'],
  ['after END', 'a line of blanks', text => `${text}\r\n \r\n`, 'armor tail'],
  ['after END', 'a second message', text => `${text}\r\n${text}`, 'armor tail'],
  ['after END', 'a second END line', text => `${text}\r\n${endLine}`, 'armor tail'],
  ['after END', '8-bit', text => `${text}\r\n\xa0`, 'armor tail'],
];

function inData(text: string, octet: string): string {
  const at = text.indexOf('\r\n\r\n') + 41;
  return text.slice(0, at) + octet + text.slice(at + 1);
}

function inLastQuantum(text: string, octet: string): string {
  const at = text.indexOf('\r\n=') - 1;
  return text.slice(0, at) + octet + text.slice(at + 1);
}

test('one thing wrong, cut at every offset', async t => {
  const text = armored(pkesk + unpadded);
  assert.equal(read([text]).fault, null);
  for (const [place, name, change, fault] of wrong) {
    await t.test(`${place}: ${name}`, () => {
      const changed = change(text);
      assert.notEqual(changed, text);
      assert.equal(readInAllCuts(changed, read).fault, fault);
    });
  }
});

const paddings: [name: string, lastLines: string, fault: ArmorFault][] = [
  ['one too few', 'Zg=\r\n', 'base64'],
  ['one too many', 'Zm8==\r\n', 'base64'],
  ['three', 'Zg===\r\n', 'armor tail'],
  ['none where it is due', 'Zg\r\n', 'armor tail'],
  ['bits set under it', 'Zh==\r\n', 'base64'],
  ['cut by a line end', 'Zg=\r\n=\r\n', 'armor tail'],
  ['a letter behind it', 'Zg==A\r\n', 'armor tail'],
  ['a blank behind it', 'Zg== \r\n', 'armor tail'],
  ['a blank line behind it', 'Zg==\r\n\r\n', 'armor tail'],
  ['no line end behind it', 'Zg==', 'armor tail'],
  ['one letter and three', 'Z===\r\n', 'armor tail'],
];

test('padding, cut at every offset', async t => {
  const lines = base64Lines(pkesk + packet(18, `${opaque(249)}f`), 64);
  assert.ok(lines.at(-1)?.endsWith('Zg=='), 'the sample ends with the octet f');
  const head = [beginLine, '', ...lines].join('\r\n').replace(/Zg==$/, '');
  assert.equal(read([`${head}Zg==\r\n${endLine}`]).fault, null);
  for (const [name, lastLines, fault] of paddings) {
    await t.test(name, () => assert.equal(readInAllCuts(`${head}${lastLines}${endLine}`, read).fault, fault));
  }
});

test('empty data', async t => {
  for (const [name, data, fault] of [
    ['nothing between the lines', '', 'no encrypted data'],
    ['blank lines', '\r\n\r\n', 'no encrypted data'],
    ['a CRC line only', '=abcd\r\n', 'no encrypted data'],
    ['padding only', '====\r\n', 'armor tail'],
  ] as const) {
    await t.test(name, () => {
      assert.equal(readInAllCuts(`${beginLine}\r\n\r\n${data}${endLine}`, read).fault, fault);
    });
  }
  await t.test('nothing at all', () => assert.equal(read([]).fault, 'no BEGIN line'));
});

const packetFaults: [name: string, packets: string, fault: ArmorFault][] = [
  ['text', 'Hello, this is readable', 'no packet header'],
  ['a literal packet', packet(11, opaque(40)), 'packet type'],
  ['octets behind', `${seipd}readable`, 'octets after the encrypted data'],
  ['cut short', seipd.slice(0, -5), 'packet length'],
];

test('what the packets are decides, cut at every offset', async t => {
  for (const [name, packets, fault] of packetFaults) {
    await t.test(name, () => assert.equal(readInAllCuts(armored(packets), read).fault, fault));
  }
});

const twoFaults: [name: string, text: string][] = [
  ['a packet of the wrong type, then a wrong letter', inData(armored(packet(11, opaque(200))), '!')],
  ['a wrong letter in a last quantum that is not whole', armored(seipd).replace(/\w{2}==\r\n/, 'A!\r\n')],
  ['octets behind the packets, then a dash', armored(`${seipd}${opaque(100)}`).replace(/\w{4}\r\n=/, '-xxx\r\n=')],
  ['a packet cut short and a malformed CRC line', armored(seipd.slice(0, -9)).replace('=abcd', '=abc')],
];

test('of two faults the same one is told however the text is cut', async t => {
  for (const [name, text] of twoFaults)
    await t.test(name, () => assert.notEqual(readInAllCuts(text, read).fault, null));
});

test('cut off anywhere it is no message', () => {
  const text = armored(pkesk + seipd);
  for (let at = 0; at < text.length; at++) assert.notEqual(read([text.slice(0, at)]).fault, null, `at ${at}`);
});

test('every other octet at every place of the opening and the end is refused', () => {
  const text = armored(pkesk + unpadded);
  const opening = beginLine.length + 4;
  for (let at = 0; at < text.length; at += at === opening ? text.length - opening - endLine.length - 9 : 1) {
    for (const octet of ['!', ' ', '\0', '\xa0', '-', '=', 'A', '\n']) {
      if (text[at] === octet || isHarmless(text, at, octet)) continue;
      const changed = text.slice(0, at) + octet + text.slice(at + 1);
      assert.notEqual(read([changed]).fault, null, `${JSON.stringify(octet)} at ${at} for ${JSON.stringify(text[at])}`);
    }
  }
});

/** Changes that leave a message: a blank in the blank line's place of CR, another letter of the CRC, a line end more. */
function isHarmless(text: string, at: number, octet: string): boolean {
  const crc = text.indexOf('\r\n=abcd');
  if (at > crc + 2 && at < crc + 7) return /[A-Za-z0-9+/]/.test(octet);
  if (text[at] === '\r') return octet === '\n' || (octet === ' ' && at === beginLine.length + 2);
  return false;
}
