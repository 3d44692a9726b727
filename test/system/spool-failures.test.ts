// The spool when things go wrong: memory and descriptors are given back whatever happens, and no message comes out short.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs, { ftruncateSync } from 'node:fs';
import { describe, test } from 'node:test';
import { type Spool, SpoolStore } from '../../src/system/spool.ts';
import { contents, directory, files, filled, noFiles, noMemory, plenty, replace } from './spools.ts';

describe('failures', () => {
  const octets = randomBytes(2_000_000);

  async function fails(spool: Spool, store: SpoolStore, cause: RegExp): Promise<void> {
    await spool.seal(octets.length);
    assert.match(spool.failed ?? 'not failed', cause);
    assert.equal(spool.full, false);
    spool.append(Buffer.alloc(100_000));
    spool.append(Buffer.alloc(1));
    await spool.settled();
    assert.equal(store.held, 0);
    spool.discard();
    assert.equal(store.held, 0);
    await noFiles();
  }

  for (const [path, cause] of [
    ['/nonexistent', /ENOENT/],
    ['/dev/null', /ENOTDIR/],
    ['/proc', /./],
  ] as const) {
    test(`the directory ${path}`, async () => {
      const store = new SpoolStore(path, noMemory);
      await fails(await filled(store, octets), store, cause);
    });
  }

  test('no descriptor left', async () => {
    replace('openSync', () => {
      throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
    });
    const store = new SpoolStore(directory, noMemory);
    await fails(await filled(store, octets), store, /EMFILE/);
  });

  /** Lets `writev` take only a part of what it is given: as much as `share` says of its octets, or fail with null. */
  function writes(share: (octets: number) => number | null): void {
    const { writev } = fs;
    const part = (
      descriptor: number,
      buffers: Buffer[],
      position: number,
      done: (error: Error | null, count: number) => void,
    ) => {
      const all = Buffer.concat(buffers);
      const count = share(all.length);
      if (count === null) setImmediate(done, Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' }), 0);
      else writev(descriptor, [all.subarray(0, count)], position, done as never);
    };
    replace('writev', part as never);
  }

  for (const room of [0, 1, 300_000, 1_500_000]) {
    test(`the disk is full after ${room} octets`, async () => {
      let left = room;
      writes(octets => {
        if (left === 0) return null;
        const count = Math.min(left, octets);
        left -= count;
        return count;
      });
      const store = new SpoolStore(directory, 100_000);
      await fails(await filled(store, octets), store, /ENOSPC/);
    });
  }

  let turn = 0;
  for (const [name, share] of [
    ['a third of each', octets => Math.ceil(octets / 3)],
    ['70,000 octets of each', octets => Math.min(octets, 70_000)],
    ['none of every other', octets => (turn++ % 2 === 0 ? 0 : octets)],
  ] satisfies [string, (octets: number) => number][]) {
    test(`short writes, ${name}: nothing is lost`, async () => {
      writes(share);
      const spool = await filled(new SpoolStore(directory, noMemory), octets);
      await spool.seal(octets.length);
      assert.equal(spool.failed, null);
      assert.ok((await contents(spool)).equals(octets));
      spool.discard();
      await noFiles();
    });
  }
  test('a file that has lost its end: reading says so and never gives a short message', async () => {
    const store = new SpoolStore(directory, noMemory);
    const spool = await filled(store, octets);
    await spool.seal(octets.length);
    const [descriptor = -1] = files();
    ftruncateSync(descriptor, 1_000_000);
    await assert.rejects(contents(spool, true), /shorter/);
    spool.discard();
    assert.equal(store.held, 0);
    await noFiles();
  });

  test('a read that fails: reading says so', async () => {
    const store = new SpoolStore(directory, noMemory);
    const spool = await filled(store, octets);
    await spool.seal(octets.length);
    replace('read', ((...given: unknown[]) =>
      setImmediate(given.at(-1) as never, new Error('EIO: i/o error'), 0)) as never);
    await assert.rejects(contents(spool, true), /EIO/);
    spool.discard();
    assert.equal(store.held, 0);
    await noFiles();
  });
});

describe('discarding, at any time and twice', () => {
  const octets = randomBytes(3_000_000);
  for (const budget of [plenty, 1_000_000, noMemory]) {
    test(`with a budget of ${budget}`, async () => {
      const store = new SpoolStore(directory, budget);
      const twice = (spool: Spool) => {
        spool.discard();
        spool.discard();
        assert.equal(store.held, 0);
      };
      twice(store.open());
      // While octets come, with and without a write under way.
      for (let length = 100_000; length < octets.length; length += 300_000) {
        const spool = await filled(store, octets.subarray(0, length));
        twice(spool);
        spool.append(Buffer.alloc(100_000));
        for (let count = 0; count < 100; count++) spool.append(Buffer.alloc(1));
        await spool.seal(length);
        assert.equal(store.held, 0);
      }
      // While it is sealed.
      const sealing = await filled(store, octets);
      const sealed = sealing.seal(octets.length);
      twice(sealing);
      await sealed;
      // While it is read, after each batch.
      for (let stopAt = 0; stopAt < 20; stopAt++) {
        const spool = await filled(store, octets);
        await spool.seal(octets.length);
        const batches = spool.read({ release: true });
        for (let count = 0; count < stopAt; count++) await batches.next();
        const next = batches.next();
        twice(spool);
        await next.catch(() => undefined);
        await batches.return();
        assert.equal(store.held, 0);
      }
      await noFiles();
    });
  }
});
