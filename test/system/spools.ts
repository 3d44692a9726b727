// What the tests of the spool share: a directory, ways to fill and to read, and a look at the descriptors that are left.

import assert from 'node:assert/strict';
import fs, { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, mock } from 'node:test';
import type { Spool, SpoolStore } from '../../src/system/spool.ts';

export const directory = mkdtempSync(join(tmpdir(), 'filtermail-spool-'));
after(() => rmSync(directory, { recursive: true }));
afterEach(() => {
  mock.restoreAll();
  syncBuiltinESMExports();
});

export const kibibyte = 1024;
export const noMemory = 0;
export const plenty = 1e9;

/** Replaces a function of node:fs for one test. */
export function replace<Name extends 'writev' | 'openSync' | 'read'>(name: Name, by: (typeof fs)[Name]): void {
  mock.method(fs, name, by as never);
  syncBuiltinESMExports();
}

/** Descriptors of our spool files. */
export function files(): number[] {
  return readdirSync('/proc/self/fd').flatMap(name => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`).startsWith(directory) ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}

/** A spool with these octets, given in pieces of that size, waiting when it is full. */
export async function filled(store: SpoolStore, octets: Buffer, pieceSize = 64 * kibibyte): Promise<Spool> {
  const spool = store.open();
  for (let at = 0; at < octets.length; at += pieceSize) {
    if (spool.full) await spool.settled();
    // The spool may free what it is given, so each piece has memory of its own, as from a socket.
    spool.append(Buffer.from(new Uint8Array(octets.subarray(at, at + pieceSize)).buffer));
  }
  return spool;
}

export async function contents(spool: Spool, release = false): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const batch of spool.read({ release })) pieces.push(...batch.map(buffer => Buffer.from(buffer)));
  return Buffer.concat(pieces);
}

/** `close` is asynchronous. */
export async function noFiles(): Promise<void> {
  for (let turns = 0; turns < 1000 && files().length > 0; turns++) await new Promise(setImmediate);
  assert.deepEqual(files(), []);
}
