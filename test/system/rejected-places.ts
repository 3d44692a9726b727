// What the tests of refused mail share: a directory for each test, messages to keep, and a look at what is left open.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, mock } from 'node:test';
import { RejectedMail } from '../../src/system/rejected-mail.ts';
import { type Spool, SpoolStore } from '../../src/system/spool.ts';

export const top = mkdtempSync(join(tmpdir(), 'filtermail-rejected-'));
export const spools = join(top, 'spool');
export const mebibyte = 1024 * 1024;
export const noon = 1_800_000_000_000;

mkdirSync(spools);
after(() => rmSync(top, { recursive: true }));
afterEach(() => {
  mock.restoreAll();
  syncBuiltinESMExports();
  assert.deepEqual(openFiles(), [], 'nothing is left open');
});

function openFiles(): string[] {
  return readdirSync('/proc/self/fd').flatMap(name => {
    try {
      const path = readlinkSync(`/proc/self/fd/${name}`);
      return path.startsWith(`${top}/`) && !path.startsWith(spools) ? [path] : [];
    } catch {
      return [];
    }
  });
}

export const inMemory = new SpoolStore(spools);
export const inFiles = new SpoolStore(spools, 0);

export async function spooled(octets: Buffer | string, store = inMemory): Promise<Spool> {
  const spool = store.open();
  const whole = Buffer.from(octets);
  for (let at = 0; at < whole.length; at += 65_536) {
    if (spool.full) await spool.settled();
    spool.append(Buffer.from(new Uint8Array(whole.subarray(at, at + 65_536)).buffer));
  }
  await spool.seal(whole.length);
  return spool;
}

let made = 0;

/** A place for refused mail that does not exist yet. */
export class Place {
  readonly parent = join(top, `${++made}`);
  readonly rejected = new RejectedMail(this.parent);
  /** Another directory, where nothing may appear. */
  readonly elsewhere = join(top, `elsewhere${made}`);

  /** The path of the file. */
  async keep(text: Buffer | string = 'x\r\n', now = noon, store = inMemory): Promise<string> {
    const spool = await spooled(text, store);
    const kept = await this.rejected.keep(spool, now);
    spool.discard();
    assert.ok('path' in kept, JSON.stringify(kept));
    return kept.path;
  }

  async failure(text = 'x\r\n'): Promise<string> {
    const spool = await spooled(text);
    const kept = await this.rejected.keep(spool, noon);
    spool.discard();
    assert.ok('failure' in kept, JSON.stringify(kept));
    return kept.failure;
  }

  names(): string[] {
    return readdirSync(this.rejected.directory).sort();
  }

  /** A file from before, sparse. */
  old(name: string, octets = 1): void {
    mkdirSync(this.rejected.directory, { recursive: true });
    writeFileSync(join(this.rejected.directory, name), '');
    truncateSync(join(this.rejected.directory, name), octets);
  }
}
