import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Base64Reader } from '../../src/message/base64.ts';
import { readInAllCuts } from './cuts.ts';
import { base64Lines, opaque } from './samples.ts';

/** The decoded octets, or null when the text or its end is no strict base64. */
function decode(pieces: readonly string[], padding = ''): string | null {
  let decoded = '';
  const reader = new Base64Reader(octets => {
    decoded += Buffer.from(octets).toString('latin1');
  });
  const fed = pieces.every(piece => reader.feed(piece));
  return fed && reader.finish(padding) ? decoded : null;
}

const good: [name: string, text: string, padding: string, decoded: string][] = [
  ['nothing', '', '', ''],
  ['line ends only', '\r\n\r\n', '', ''],
  ['one quantum', 'Zm9v', '', 'foo'],
  ['two quanta', 'Zm9vYmFy', '', 'foobar'],
  ['one octet', 'Zg', '==', 'f'],
  ['two octets', 'Zm8', '=', 'fo'],
  ['a quantum and one octet', 'Zm9vYg', '==', 'foob'],
  ['a quantum and two octets', 'Zm9vYmE', '=', 'fooba'],
  ['the whole alphabet', '+/09AZaz', '', '\xfb\xfd\x3d\x01\x96\xb3'],
  ['lines', 'Zm9v\r\nYmFy\r\n', '', 'foobar'],
  ['lines that end in LF', 'Zm9v\nYmFy\n', '', 'foobar'],
  ['lines that cut a quantum', 'Z\r\nm\r\n9\r\nvY\r\nmFy', '', 'foobar'],
  ['blank lines', '\r\nZm9v\r\n\r\n\r\nYmFy\r\n', '', 'foobar'],
  ['a line end before the padding', 'Zg\r\n', '==', 'f'],
];

const bad: [name: string, text: string, padding: string][] = [
  ['a blank', 'Zm9v YmFy', ''],
  ['a blank at the end of a line', 'Zm9v \r\nYmFy', ''],
  ['blanks only', '    ', ''],
  ['a tab', 'Zm9v\tYmFy', ''],
  ['a form feed', 'Zm9v\fYmFy', ''],
  ['a vertical tab', 'Zm9v\x0bYmFy', ''],
  ['NUL', 'Zm9v\0YmFy', ''],
  ['a no-break space', 'Zm9v\xa0YmFy', ''],
  ['8-bit', 'Zm9\xe9', ''],
  ['the alphabet of base64url', 'Zm9-', ''],
  ['its other letter', 'Zm9_', ''],
  ['a comma', 'Zm,v', ''],
  ['one wrong octet at the very end', 'Zm9vY!', '=='],
  ['one letter over', 'Zm9vY', ''],
  ['two letters over', 'Zm9vYm', ''],
  ['three letters over', 'Zm9vYmE', ''],
  ['one letter and padding', 'Zm9vY', '='],
  ['one letter and two of padding', 'Zm9vY', '=='],
  ['padding short by one', 'Zg', '='],
  ['padding long by one', 'Zm8', '=='],
  ['padding behind whole quanta', 'Zm9v', '='],
  ['two of padding behind whole quanta', 'Zm9v', '=='],
  ['padding alone', '', '='],
  ['bits set under two of padding', 'Zh', '=='],
  ['bits set under one of padding', 'Zm9', '='],
];

test('strict base64, cut at every offset', async t => {
  for (const [name, text, padding, decoded] of good) {
    await t.test(name, () =>
      assert.equal(
        readInAllCuts(text, pieces => decode(pieces, padding)),
        decoded,
      ),
    );
  }
});

test('anything else, cut at every offset', async t => {
  for (const [name, text, padding] of bad) {
    await t.test(name, () =>
      assert.equal(
        readInAllCuts(text, pieces => decode(pieces, padding)),
        null,
      ),
    );
  }
});

test('every octet that is not of the alphabet is refused wherever it stands', () => {
  const alphabet = /[A-Za-z0-9+/\r\n=]/;
  for (let code = 0; code < 256; code++) {
    const octet = String.fromCharCode(code);
    if (alphabet.test(octet)) continue;
    for (const text of [`${octet}Zm9`, `Zm9${octet}`, `Zm9vZm${octet}9Zm9v`])
      assert.equal(readInAllCuts(text, decode), null, JSON.stringify(text));
  }
});

test('lengths around the size of the inner buffer', async t => {
  for (const length of [65_533, 65_534, 65_535, 65_536, 65_537, 131_070, 131_072, 200_001]) {
    await t.test(`${length} octets`, () => {
      const octets = opaque(1000)
        .repeat(Math.ceil(length / 1000))
        .slice(0, length);
      for (const width of [64, 76, length * 2]) {
        const lines = base64Lines(octets, width).join('\r\n');
        const [, text = '', padding = ''] = /^([^=]*)(=*)$/.exec(lines) ?? [];
        assert.ok(decode([text], padding) === octets, `lines of ${width}, whole`);
        assert.ok(decode([text.slice(0, 70_001), text.slice(70_001)], padding) === octets, `lines of ${width}, cut`);
      }
    });
  }
});

test('whole tells whether a quantum is open', () => {
  const reader = new Base64Reader(() => undefined);
  assert.ok(reader.whole);
  for (const [piece, whole] of [
    ['Z', false],
    ['\r\n', false],
    ['m9', false],
    ['v', true],
    ['\r\n', true],
    ['YmFyZ', false],
  ] as const) {
    assert.ok(reader.feed(piece));
    assert.equal(reader.whole, whole, piece);
  }
});

test('a reader may feed another one', () => {
  let decoded = '';
  const inner = new Base64Reader(octets => {
    decoded += Buffer.from(octets).toString('latin1');
  });
  const outer = new Base64Reader(octets => assert.ok(inner.feed(Buffer.from(octets).toString('latin1'))));
  const nested = Buffer.from('Zm9vYmFy'.repeat(20_000)).toString('base64');
  const [, text = '', padding = ''] = /^([^=]*)(=*)$/.exec(nested) ?? [];
  assert.ok(outer.feed(text.slice(0, 6)) && outer.feed(text.slice(6)) && outer.finish(padding));
  assert.ok(decoded === 'foobar'.repeat(20_000));
});
