import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findPathEnd } from '../../src/wire/path.ts';

/** A path that must be found whole, whatever stands behind it. */
const paths = [
  '<>',
  '<a@b>',
  '<A@B>',
  '<postmaster>',
  '<a b@c>',
  '<a@[192.0.2.1]>',
  '<a@[IPv6:2001:db8::1]>',
  '<@r1,@r2:a@b>',
  '<"a>b"@c>',
  '<"a<b"@c>',
  '<"a b"@c>',
  '<"a\\"b"@c>',
  '<"a\\">b"@c>',
  '<"\\\\"@c>',
  '<"\\>"@c>',
  '<a\\>b@c>',
  '<a\\<b@c>',
  '<a\\"b@c>',
  '<a\\\\@c>',
  '<""@c>',
  '<"a""b"@c>',
  '<gr\xc3\xbc\xc3\x9fe@b\xc3\xbccher.example>',
  '<\xa0\x85\xff@c>',
  '<a\\\xa0@c>',
  '<a%b!c@d>',
  `<${'x'.repeat(4000)}@c>`,
];

test('paths are found to their end', () => {
  for (const path of paths) {
    for (const behind of ['', ' SIZE=1', '>', '>>', ' "', ' <x>']) {
      assert.deepEqual(findPathEnd(path + behind, 0), { end: path.length - 1 }, path + behind);
      assert.deepEqual(findPathEnd(`FROM:${path}${behind}`, 5), { end: path.length + 4 }, path + behind);
    }
  }
});

test('what cannot be an address', () => {
  const addresses = [
    '<"a@b>',
    '<a"@b>',
    '<"a\\"@b>',
    '<"a"b"@c>',
    '<<a@b>',
    '<<a@b>>',
    '<a<b@c>',
    '<"a@b',
    '<"',
    '<a<b',
  ];
  for (const text of addresses) assert.deepEqual(findPathEnd(text, 0), { fault: 'address' }, text);
});

test('a path without end', () => {
  for (const text of ['<', '<a@b', '<a@b SIZE=1', '<a@b\\>', '<\\']) {
    assert.deepEqual(findPathEnd(text, 0), { fault: 'syntax' }, text);
  }
});

test('no control character is part of an address, quoted, escaped or plain', () => {
  const controls = Array.from({ length: 32 }, (_, code) => String.fromCharCode(code)).concat('\x7f');
  for (const control of controls) {
    for (const text of [
      `<${control}a@b>`,
      `<a${control}@b>`,
      `<a@b${control}>`,
      `<"a${control}b"@c>`,
      `<a\\${control}b@c>`,
      `<"a\\${control}b"@c>`,
      `<"\\\\${control}"@c>`,
      `<${control}>`,
    ]) {
      assert.deepEqual(findPathEnd(text, 0), { fault: 'address' }, JSON.stringify(text));
    }
  }
});

test('every other octet is', () => {
  for (let code = 0x20; code < 0x100; code++) {
    const octet = String.fromCharCode(code);
    if (code === 0x7f || '"\\<>'.includes(octet)) continue;
    assert.deepEqual(findPathEnd(`<a${octet}@b>`, 0), { end: 5 });
    assert.deepEqual(findPathEnd(`<"${octet}"@b>`, 0), { end: 6 });
    assert.deepEqual(findPathEnd(`<\\${octet}@b>`, 0), { end: 5 });
  }
});
