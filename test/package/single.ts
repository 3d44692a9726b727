// The file that needs no Node.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Site } from '../loopback/site.ts';
import { dist, names, single } from './packages.ts';
import { modes, serve, tellsUsage, works } from './work.ts';

const machines: Readonly<Record<string, number>> = { x64: 62, arm64: 183 }; // e_machine of ELF

export function testSingleFile(): void {
  for (const mode of modes) test(`works: ${mode}`, () => works(mode, { program: single }));

  test('tells its usage', () => tellsUsage({ program: single }));

  test('NODE_OPTIONS is not for it', async () => {
    for (const options of ['--no-such-option', '--inspect', '--require=/nowhere.js']) {
      const env = { ...process.env, NODE_OPTIONS: options };
      await tellsUsage({ program: single, env });
      const filter = await serve(await Site.make(1), 'outgoing', { program: single, env });
      await filter.stop();
    }
  });

  for (const [arch, machine] of Object.entries(machines)) {
    test(`is a program for ${arch}, with ours inside`, () => {
      const octets = readFileSync(join(dist, names.single(arch)));
      assert.equal(octets.readUInt32BE(0), 0x7f454c46);
      assert.equal(octets.readUInt16LE(18), machine);
      assert.ok(octets.includes('usage: filtermail <config> incoming|outgoing|transport'), 'the program');
      assert.ok(octets.includes('node_modules/mailauth/lib/mta-sts.js'), 'the library');
      assert.ok(octets.includes('NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:1'), 'Node looks for it');
    });
  }
}
