import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { before } from 'node:test';
import { makeBundle } from '../../scripts/build/bundle.ts';
import { type Architecture, unpackNode } from '../../scripts/build/node-binary.ts';
import { makeSingleFile } from '../../scripts/build/single-file.ts';
import { checkout } from './whole/host.ts';
import { people } from './whole/people.ts';

const directory = join(checkout, '.cache/single-file');
const program = join(directory, 'filtermail');

before(async () => {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const node = await unpackNode(process.arch as Architecture, join(directory, 'node'));
  await makeSingleFile(await makeBundle(join(directory, 'bundle')), node.binary, program);
});

people('two relays, the filter in a single file', { program });
