// The spool: what comes out is what went in, cut at the sealed length, whether it waited in memory, in a file or in both.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs, { readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { SpoolStore } from '../../src/system/spool.ts';
import { contents, directory, files, filled, kibibyte, noFiles, noMemory, plenty, replace } from './spools.ts';

describe('what comes out is what went in', () => {
  const edges = [0, 1, 5, 1023, 1024, 1025].concat(
    [16, 64, 256, 512, 1024].flatMap(size => [-4, -3, -1, 0, 1, 4].map(off => size * kibibyte + off)),
    3_000_001,
  );
  const octets = randomBytes(3_000_100);
  for (const [name, budget] of [
    ['in memory', plenty],
    ['with room for 100 kB', 100_000],
    ['with no room', noMemory],
  ] as const) {
    for (const pieceSize of [1000, 4099, 64 * kibibyte, 300_000]) {
      test(`${name}, in pieces of ${pieceSize}: every length, cut anywhere at the end marker`, async () => {
        for (const length of edges) {
          // The marker, and nothing, behind the sealed length.
          for (const marker of [0, 3, 5]) {
            const store = new SpoolStore(directory, budget);
            const spool = await filled(store, octets.subarray(0, length + marker), pieceSize);
            await spool.seal(length);
            const expected = octets.subarray(0, length);
            assert.ok((await contents(spool)).equals(expected), `${length} of ${length + marker}`);
            const small = spool.small();
            if (small !== null)
              assert.ok(Buffer.concat(small).equals(expected), `${length} of ${length + marker}, small`);
            assert.ok((await contents(spool, true)).equals(expected), `${length} of ${length + marker}, released`);
            spool.discard();
            assert.equal(store.held, 0);
          }
        }
        await noFiles();
      });
    }
  }

  test('in pieces of every size, small ones among large ones', async () => {
    for (const budget of [plenty, 300_000, noMemory]) {
      const store = new SpoolStore(directory, budget);
      const spool = store.open();
      const sizes = [
        1,
        70_000,
        2,
        3,
        ...Array<number>(40).fill(7),
        65_536,
        ...Array<number>(2000).fill(999),
        1024,
        1,
        1,
        1,
        500_000,
        5,
      ];
      let at = 0;
      for (const size of sizes) {
        if (spool.full) await spool.settled();
        spool.append(Buffer.from(octets.subarray(at, at + size)));
        at += size;
      }
      await spool.seal(at - 5);
      assert.ok((await contents(spool)).equals(octets.subarray(0, at - 5)), `budget ${budget}`);
      spool.discard();
      assert.equal(store.held, 0);
    }
    await noFiles();
  });

  test('twenty at once that share the budget', async () => {
    const store = new SpoolStore(directory, 5_000_000);
    const spools = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const spool = await filled(store, octets.subarray(index * 1000, 1_500_000 + index * 1000));
        await spool.seal(1_500_000);
        return spool;
      }),
    );
    assert.ok(store.held <= 5_000_000 + 20 * 256 * kibibyte, `${store.held}`);
    await Promise.all(
      spools.map(async (spool, index) => {
        assert.ok((await contents(spool, true)).equals(octets.subarray(index * 1000, 1_500_000 + index * 1000)));
        spool.discard();
      }),
    );
    assert.equal(store.held, 0);
    await noFiles();
  });
});

describe('memory', () => {
  test('a message up to 256 KiB stays in it, however full it is', async () => {
    const spool = await filled(new SpoolStore(directory, noMemory), randomBytes(256 * kibibyte));
    assert.deepEqual(files(), []);
    spool.append(Buffer.from('x'));
    await spool.seal(256 * kibibyte + 1);
    assert.equal(files().length, 1);
    spool.discard();
    await noFiles();
  });

  test('reading with release gives back what has been read', async () => {
    const store = new SpoolStore(directory, plenty);
    const spool = await filled(store, randomBytes(2_000_000));
    await spool.seal(2_000_000);
    const seen: number[] = [];
    for await (const _ of spool.read({ release: true })) seen.push(store.held);
    assert.deepEqual(
      seen,
      seen.toSorted((a, b) => b - a),
    );
    assert.ok((seen.at(-1) ?? plenty) < 600_000, `${seen}`);
    assert.equal(store.held, 0);
    spool.discard();
    assert.equal(store.held, 0);
  });

  test('discarding gives memory back at once, not when the garbage collector finds out', async () => {
    const spool = await filled(new SpoolStore(directory, plenty), Buffer.alloc(20_000_000));
    const before = process.memoryUsage().arrayBuffers;
    spool.discard();
    const freed = before - process.memoryUsage().arrayBuffers;
    assert.ok(freed > 19_000_000, `${freed} octets`);
  });

  test('single octets are put together', async () => {
    const spool = new SpoolStore(directory, plenty).open();
    for (let count = 0; count < 200_000; count++) spool.append(Buffer.from([count & 0xff]));
    await spool.seal(200_000);
    const buffers = spool.small() ?? [];
    assert.ok(buffers.length > 0 && buffers.length < 40, `${buffers.length} buffers`);
    assert.ok(Buffer.concat(buffers).every((octet, at) => octet === (at & 0xff)));
    spool.discard();
  });

  test('it is full while the file lags behind, and no more when that has settled', async () => {
    const spool = new SpoolStore(directory, noMemory).open();
    for (let count = 0; count < 60; count++) spool.append(Buffer.alloc(64 * kibibyte, count));
    assert.equal(spool.full, true);
    while (spool.full) await spool.settled();
    await spool.seal(60 * 64 * kibibyte);
    assert.ok((await contents(spool)).every((octet, at) => octet === Math.floor(at / (64 * kibibyte))));
    spool.discard();
    await noFiles();
  });
});

describe('files', () => {
  test('have no name, and nobody else may read them', async () => {
    const spool = await filled(new SpoolStore(directory, noMemory), randomBytes(400_000));
    assert.deepEqual(readdirSync(directory), []);
    assert.deepEqual(
      files().map(descriptor => fs.fstatSync(descriptor).mode & 0o777),
      [0o600],
    );
    spool.discard();
    await noFiles();
  });

  for (const code of ['EOPNOTSUPP', 'EISDIR']) {
    test(`where the file system cannot make one without a name (${code}), it loses its name at once`, async () => {
      const open = fs.openSync;
      replace('openSync', (path, flags, mode) => {
        if (Number(flags) & 0o20000000) throw Object.assign(new Error(code), { code });
        return open(path, flags, mode);
      });
      const octets = randomBytes(700_000);
      const spool = await filled(new SpoolStore(directory, noMemory), octets);
      await spool.seal(octets.length);
      assert.deepEqual(readdirSync(directory), []);
      assert.ok((await contents(spool)).equals(octets));
      spool.discard();
      await noFiles();
    });
  }
});
