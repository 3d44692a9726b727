// Refused messages that cannot be kept: said and not thrown, nothing followed, nothing left behind.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs, {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { beforeEach, describe, mock, test } from 'node:test';
import { RejectedMail } from '../../src/system/rejected-mail.ts';
import { inFiles, noon, Place, spooled, spools, top } from './rejected-places.ts';

type Done = (error: Error | null, written: number) => void;

const isRoot = process.geteuid?.() === 0;
let place: Place;
beforeEach(() => {
  place = new Place();
});

describe('where it cannot be kept', () => {
  const unusable: [name: string, prepare: () => void, why: RegExp][] = [
    ['the parent is a file', () => writeFileSync(place.parent, ''), /ENOTDIR/],
    ['the parent is a link', () => symlinkSync(spools, place.parent), /ELOOP|ENOTDIR/],
    ['the parent is a link that leads nowhere', () => symlinkSync('nowhere', place.parent), /ELOOP|ENOTDIR/],
    ['the parent is a FIFO', () => execFileSync('mkfifo', [place.parent]), /ENOTDIR/],
    ['the directory is a file', () => writeFileSync(inside(), ''), /ENOTDIR/],
    ['the directory is a FIFO', () => execFileSync('mkfifo', [inside()]), /ENOTDIR/],
    ['the directory is a link', () => symlinkSync(spools, inside()), /ELOOP|ENOTDIR/],
    ['the directory is a link to one beside it', () => symlinkSync('.', inside()), /ELOOP|ENOTDIR/],
  ];
  const inside = () => {
    mkdirSync(place.parent);
    return join(place.parent, 'dkim-verify');
  };
  for (const [name, prepare, why] of unusable) {
    test(name, async () => {
      prepare();
      const spooledBefore = readdirSync(spools);
      assert.match(place.rejected.trouble() ?? '', why);
      const text = await place.failure();
      assert.match(text, why);
      assert.ok(text.includes(place.parent), text);
      assert.deepEqual(readdirSync(spools), spooledBefore);
    });
  }

  for (const [name, below] of [
    ['the parent', ''],
    ['the directory', 'dkim-verify'],
  ] as const) {
    test(`${name} belongs to another user`, { skip: !isRoot }, async () => {
      const path = join(place.parent, below);
      mkdirSync(path, { recursive: true });
      chmodSync(path, 0o777);
      chownSync(path, 65_534, 65_534);
      assert.match(place.rejected.trouble() ?? '', /belongs to user 65534/);
      assert.match(await place.failure(), /belongs to user 65534/);
      assert.deepEqual(readdirSync(path), []);
    });
  }

  test('nobody but root may write: said, not thrown', { skip: !isRoot }, async () => {
    mkdirSync(place.rejected.directory, { recursive: true });
    chmodSync(top, 0o755);
    chmodSync(place.parent, 0o755);
    process.seteuid?.(65_534);
    try {
      const text = await place.failure();
      assert.match(text, /EACCES|EPERM/);
      assert.ok(!text.includes('/proc/'), `not a path that the admin can use: ${text}`);
    } finally {
      process.seteuid?.(0);
      chmodSync(top, 0o700);
    }
  });

  test('a directory that root has made for another user serves that user', { skip: !isRoot }, async () => {
    chmodSync(top, 0o755);
    mkdirSync(place.parent);
    chmodSync(place.parent, 0o755);
    mkdirSync(place.rejected.directory);
    chownSync(place.rejected.directory, 65_534, 65_534);
    process.seteuid?.(65_534);
    try {
      assert.equal(place.rejected.trouble(), null);
      assert.equal(statSync(await place.keep()).uid, 65_534);
    } finally {
      process.seteuid?.(0);
      chmodSync(top, 0o700);
    }
  });

  test('slashes behind a link do not hide it', async () => {
    const { elsewhere } = place;
    mkdirSync(elsewhere);
    symlinkSync(elsewhere, place.parent);
    for (const tail of ['/', '//', '/.']) {
      const rejected = new RejectedMail(`${place.parent}${tail}`);
      assert.notEqual(rejected.trouble(), null, tail);
      assert.deepEqual(readdirSync(elsewhere), []);
    }
  });

  test('slashes behind a directory do no harm, and the path is a plain one', async () => {
    const kept = await new RejectedMail(`${place.parent}//`).keep(await spooled('x\r\n'), noon);
    assert.ok('path' in kept);
    assert.match(kept.path, new RegExp(`^${place.parent}/dkim-verify/[^/]+$`));
  });
});

describe('while it runs', () => {
  test('directories that were deleted are made again', async () => {
    await place.keep();
    rmSync(place.rejected.directory, { recursive: true });
    await place.keep();
    rmSync(place.parent, { recursive: true });
    assert.equal(readFileSync(await place.keep('y\r\n'), 'latin1'), 'y\r\n');
    assert.equal(place.names().length, 1);
  });

  for (const [name, writev, why] of [
    [
      'a full disk',
      (done: Done) => done(Object.assign(new Error('ENOSPC: no space'), { code: 'ENOSPC' }), 0),
      /ENOSPC/,
    ],
    ['a write that takes a part', (done: Done) => done(null, 1), /no space left/],
  ] as const) {
    test(`${name}: said, and no part of the file stays`, async () => {
      mock.method(fs, 'writev', ((_file: number, _pieces: unknown, done: Done) =>
        setImmediate(() => writev(done))) as never);
      syncBuiltinESMExports();
      assert.match(await place.failure('xxxxxx\r\n'), why);
      assert.deepEqual(place.names(), []);
      assert.equal(place.rejected.trouble(), null);
    });

    test(`${name} whose directory goes away at the same time: said, for the first reason`, async () => {
      mock.method(fs, 'writev', ((_file: number, _pieces: unknown, done: Done) => {
        rmSync(place.rejected.directory, { recursive: true });
        setImmediate(() => writev(done));
      }) as never);
      syncBuiltinESMExports();
      assert.match(await place.failure('xxxxxx\r\n'), why);
    });
  }

  test('a message that is given up while it is written leaves nothing', async () => {
    const spool = await spooled('x\r\n'.repeat(400_000), inFiles);
    const keeping = place.rejected.keep(spool, noon);
    spool.discard();
    const kept = await keeping;
    assert.ok('failure' in kept);
    assert.deepEqual(place.names(), []);
  });

  test('a directory that is swapped for a link between two steps is not followed', async () => {
    const { elsewhere } = place;
    mkdirSync(elsewhere);
    await place.keep();
    renameSync(place.rejected.directory, join(place.parent, 'moved'));
    symlinkSync(elsewhere, place.rejected.directory);
    assert.match(await place.failure(), /ELOOP|ENOTDIR/);
    assert.deepEqual(readdirSync(elsewhere), []);
  });
});
