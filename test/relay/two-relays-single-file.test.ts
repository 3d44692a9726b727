import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { makeBundle } from '../../scripts/build/bundle.ts';
import { type Architecture, unpackNode } from '../../scripts/build/node-binary.ts';
import { makeSingleFile } from '../../scripts/build/single-file.ts';
import { undoAtEnd } from '../loopback/tidy.ts';
import { checkout } from './whole/host.ts';
import { people } from './whole/people.ts';

people('two relays, the filter in a single file', async () => {
  const cache = join(checkout, '.cache');
  mkdirSync(cache, { recursive: true });
  const directory = mkdtempSync(join(cache, 'single-file-'));
  undoAtEnd(() => rmSync(directory, { recursive: true, force: true }));
  const node = await unpackNode(process.arch as Architecture, join(directory, 'node'));
  const program = join(directory, 'filtermail');
  await makeSingleFile(await makeBundle(join(directory, 'bundle')), node.binary, program);
  return program;
});
