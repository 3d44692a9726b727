// Refused messages as files: their names and modes, the limits, and what else may be in their directory.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, test } from 'node:test';
import { inFiles, inMemory, mebibyte, noon, Place, spooled, top } from './rejected-places.ts';

let place: Place;
beforeEach(() => {
  place = new Place();
});

describe('a file', () => {
  test("its name is the time and eight hexadecimal digits; directories and file are the owner's alone", async () => {
    const path = await place.keep('a\r\n', 1_800_000_000_999);
    assert.match(path, new RegExp(`^${place.parent}/dkim-verify/1800000000-[0-9a-f]{8}\\.eml$`));
    assert.equal(place.rejected.directory, join(place.parent, 'dkim-verify'));
    for (const [each, mode] of [
      [place.parent, 0o700],
      [place.rejected.directory, 0o700],
      [path, 0o600],
    ] as const) {
      assert.equal(statSync(each).mode & 0o7777, mode, each);
    }
  });

  test('also under an umask of 0', async () => {
    const umask = process.umask(0);
    try {
      const path = await place.keep();
      assert.equal(statSync(path).mode & 0o7777, 0o600);
      assert.equal(statSync(place.rejected.directory).mode & 0o7777, 0o700);
    } finally {
      process.umask(umask);
    }
  });

  test('a directory that others may enter is closed to them', async () => {
    mkdirSync(place.rejected.directory, { recursive: true });
    for (const mode of [0o755, 0o777, 0o710, 0o701]) {
      chmodSync(place.rejected.directory, mode);
      await place.keep();
      assert.equal(statSync(place.rejected.directory).mode & 0o777, 0o700);
    }
  });

  const dots = '..\r\n...a\r\n.\r\r\n..\r\n\r\nb..\r\n..'.replace('.\r\r\n', '');
  for (const [name, wire, text] of [
    ['empty', '', ''],
    ['dots', dots, '.\r\n..a\r\n.\r\n\r\nb..\r\n.'],
    ['8-bit octets', Buffer.from('\x80\xff\r\n', 'latin1'), Buffer.from('\x80\xff\r\n', 'latin1')],
  ] as const) {
    for (const store of [inMemory, inFiles]) {
      test(`octet for octet, dots unescaped: ${name}`, async () => {
        assert.ok(readFileSync(await place.keep(wire, noon, store)).equals(Buffer.from(text)));
      });
    }
  }

  test('of any size, dots at every edge of what is read at once', async () => {
    const line = `..${'x'.repeat(57)}\r\n`;
    const wire = line.repeat(100_000);
    for (const store of [inMemory, inFiles]) {
      const path = await place.keep(wire, noon, store);
      assert.ok(readFileSync(path).equals(Buffer.from(wire.replaceAll('\n..', '\n.').slice(1))));
    }
  });

  test('two at the same time of the clock are two', async () => {
    const paths = await Promise.all(Array.from({ length: 20 }, () => place.keep()));
    assert.equal(new Set(paths).size, 20);
    assert.equal(place.names().length, 20);
  });
});

describe('limits', () => {
  test('100 files, the oldest go first, by their times as numbers', async () => {
    for (const name of ['9-00000000.eml', '10-ffffffff.eml', '100-00000000.eml', '99-00000000.eml']) place.old(name);
    for (let n = 0; n < 96; n++) place.old(`${1_000_000 + n}-00000000.eml`);
    const gone: string[] = [];
    for (let n = 0; n < 5; n++) {
      const before = place.names();
      await place.keep();
      assert.equal(place.names().length, 100);
      gone.push(...before.filter(name => !place.names().includes(name)));
    }
    assert.deepEqual(
      gone,
      ['9-00000000', '10-ffffffff', '99-00000000', '100-00000000', '1000000-00000000'].map(name => `${name}.eml`),
    );
  });

  test('more files than that, as an older version may have left: all too many go', async () => {
    for (let n = 0; n < 150; n++) place.old(`${1000 + n}-00000000.eml`);
    await place.keep();
    assert.equal(place.names().length, 100);
    assert.equal(place.names()[0], '1051-00000000.eml');
  });

  test('of the same second, those that came first go first', async () => {
    const paths: string[] = [];
    for (let n = 0; n < 100; n++) paths.push(await place.keep(`${n}\r\n`));
    for (let n = 0; n < 10; n++) paths.push(await place.keep(`${n}\r\n`));
    const lost = paths.slice(10).filter(path => !existsSync(path));
    assert.equal(lost.length, 0, 'newer ones have gone instead');
  });

  test('100 MiB', async () => {
    place.old('1-00000000.eml', 40 * mebibyte);
    place.old('2-00000000.eml', 40 * mebibyte);
    place.old('3-00000000.eml', 20 * mebibyte - 3);
    await place.keep('a\r\n');
    assert.equal(place.names().length, 4, 'exactly 100 MiB are allowed');
    await place.keep('b\r\n');
    assert.equal(place.names().length, 4);
    assert.ok(!place.names().includes('1-00000000.eml'));
    await place.keep(
      randomBytes(41 * mebibyte)
        .toString('latin1')
        .replaceAll(/[\r\n\0.]/g, 'x')
        .slice(0, 41 * mebibyte),
    );
    const sizes = place.names().map(name => statSync(join(place.rejected.directory, name)).size);
    assert.ok(sizes.reduce((sum, size) => sum + size, 0) <= 100 * mebibyte);
  });

  test('a message that is larger is not kept, and costs no other its place', async () => {
    place.old('1-00000000.eml');
    const spool = await spooled(Buffer.alloc(100 * mebibyte + 1, 'x'), inFiles);
    const kept = await place.rejected.keep(spool, noon);
    spool.discard();
    assert.deepEqual(kept, { failure: 'larger than 104857600 octets' });
    assert.deepEqual(place.names(), ['1-00000000.eml']);
  });

  test('many at the same time: never more than the limits, then or at the end', async () => {
    const text = `${'x'.repeat(1022)}\r\n`.repeat(2500);
    const stores = Array.from({ length: 60 }, () => spooled(text, inFiles));
    const all = await Promise.all(stores);
    let most = 0;
    const looking = setInterval(() => {
      const sizes = place
        .names()
        .map(name => statSync(join(place.rejected.directory, name), { throwIfNoEntry: false })?.size ?? 0);
      most = Math.max(
        most,
        sizes.reduce((sum, size) => sum + size, 0),
      );
    }, 1);
    const kept = await Promise.all(all.map(spool => place.rejected.keep(spool, noon)));
    clearInterval(looking);
    for (const spool of all) spool.discard();
    const gone = kept.flatMap(each => ('failure' in each ? [each.failure] : []));
    assert.deepEqual(new Set(gone), new Set(['it had to make room for later ones']));
    assert.ok(most <= 100 * mebibyte, `${most}`);
    const sizes = place.names().map(name => statSync(join(place.rejected.directory, name)).size);
    assert.deepEqual(new Set(sizes), new Set([text.length]), 'whole files');
    assert.equal(sizes.length, Math.floor((100 * mebibyte) / text.length));
  });

  test('the clock set back: the newest message stays all the same', async () => {
    for (let n = 0; n < 100; n++) place.old(`${1_900_000_000 + n}-00000000.eml`);
    const [first, second] = [await place.keep('1\r\n', noon), await place.keep('2\r\n', noon)];
    assert.equal(readFileSync(second, 'latin1'), '2\r\n');
    assert.ok(first !== second);
    assert.equal(place.names().length, 100);
  });
});

describe('what is not ours', () => {
  test('other files stay and do not count', async () => {
    const foreign = [
      'README',
      '1.eml',
      '1-0000000.eml',
      '1-000000000.eml',
      '1-0000000G.eml',
      '1-00000000.eml.bak',
      'x1-00000000.eml',
      '-1-00000000.eml',
      ' 1-00000000.eml',
      '1-00000000.EML',
      '1-00000000.eml\n',
    ];
    for (const name of foreign) place.old(name, 30 * mebibyte);
    for (let n = 0; n < 110; n++) await place.keep();
    assert.equal(place.names().length, 100 + foreign.length);
    assert.ok(foreign.every(name => place.names().includes(name)));
  });

  test('a link with a name of ours goes when it is the oldest; what it leads to stays', async () => {
    const target = join(top, 'target');
    writeFileSync(target, 'x'.repeat(1000));
    mkdirSync(place.rejected.directory, { recursive: true });
    symlinkSync(target, join(place.rejected.directory, '1-00000000.eml'));
    for (let n = 0; n < 100; n++) await place.keep();
    assert.ok(!place.names().includes('1-00000000.eml'));
    assert.equal(statSync(target).size, 1000);
  });

  test('a directory with a name of ours does not stop anything', async () => {
    mkdirSync(join(place.rejected.directory, '1-00000000.eml'), { recursive: true });
    for (let n = 0; n < 105; n++) await place.keep();
    assert.ok(place.names().length <= 101);
    assert.ok(place.names().includes('1-00000000.eml'));
  });
});
