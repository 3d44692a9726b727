// From exec to the line that says it serves: the single file and the checkout, each mode in turn, beside `node -e 0` of the same Node.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { makeBundle } from '../../scripts/build/bundle.ts';
import { type Architecture, unpackNode } from '../../scripts/build/node-binary.ts';
import { makeSingleFile } from '../../scripts/build/single-file.ts';
import { freePorts } from '../peers/ports.ts';
import { median } from './figures.ts';
import { busyShare, describeMachine } from './machine.ts';
import { mailDomain } from './messages.ts';
import { Program } from './processes.ts';
import type { Mode } from './scenarios.ts';
import { type Start, type Starts, startsTable } from './starts.ts';
import { writeConfig } from './subjects.ts';

interface Subject extends Omit<Starts, 'samples'> {
  readonly samples: Start[];
  /** The first start, which fills caches, where it is worth telling. */
  readonly firstTitle?: string;
  readonly start: () => Promise<Start>;
}

const modes: readonly Mode[] = ['outgoing', 'incoming', 'transport'];
const serves = 'entering serving loop';
const checkout = fileURLToPath(new URL('../../bin/filtermail', import.meta.url));

export async function startTable(runs: number): Promise<string> {
  const directory = mkdtempSync('/var/tmp/filtermail-bench-'); // /tmp may be memory
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const single = process.env.FILTERMAIL ?? (await makeSingle(directory));
  readAnew(single);
  // On a relay the file's pages are shared by the three modes. Those of the checkout's Node are shared with this process.
  const other = await writeSite(`${directory}/other`);
  await using companion = new Program(single, [other, 'outgoing'], `${directory}/other.log`);
  await companion.untilSaying(serves);
  const subjects = await subjectsIn(directory, single);
  const first: Starts[] = [];
  const othersBusy: number[] = [];
  for (let run = 0; run <= runs; run++) {
    othersBusy.push(await busyShare());
    for (const { samples, start, firstTitle, title, mode } of subjects) {
      const sample = await start();
      if (run > 0) samples.push(sample);
      else if (firstTitle !== undefined && mode) first.push({ title: firstTitle, mode, samples: [sample] });
      console.error(`${run === 0 ? 'first' : run}: ${title} ${mode ?? ''} ${sample.ms.toFixed(0)} ms`);
    }
  }
  const busy = (median(othersBusy) * 100).toFixed(0);
  const conditions = `${describeMachine()}; others used ${busy} % of the cores meanwhile.\nMedian of ${runs} starts.`;
  return `${conditions}\n\n${startsTable([...subjects, ...first])}`;
}

async function subjectsIn(directory: string, single: string): Promise<Subject[]> {
  const config = await writeSite(`${directory}/site`);
  const log = `${directory}/start.log`;
  const serving = (mode: Mode, program: string, env?: NodeJS.ProcessEnv) => () =>
    untilServing(() => new Program(program, [config, mode], log, env));
  return [
    {
      title: '`node -e 0`',
      samples: [],
      start: () => untilEnded(() => new Program(process.execPath, ['-e', '0'], log)),
    },
    ...modes.map(mode => ({ title: 'single file', mode, limit: 350, samples: [], start: serving(mode, single) })),
    ...modes.map(mode => ({
      title: 'checkout',
      mode,
      limit: 500,
      firstTitle: 'checkout, once, nothing compiled yet',
      samples: [],
      start: serving(mode, checkout, { NODE_COMPILE_CACHE: `${directory}/compiled-${mode}` }),
    })),
  ];
}

async function untilServing(exec: () => Program): Promise<Start> {
  const began = performance.now();
  await using program = exec();
  await program.untilSaying(serves);
  return { ms: performance.now() - began, memory: program.memory() };
}

async function untilEnded(exec: () => Program): Promise<Start> {
  const began = performance.now();
  await using program = exec();
  const end = await program.exited;
  if (end !== '0') throw program.failure(`ended with ${end}`);
  return { ms: performance.now() - began };
}

/** For this machine, as `npm run build` makes it; its path. */
async function makeSingle(directory: string): Promise<string> {
  console.error('Making the single file');
  const bundle = await makeBundle(`${directory}/bundle`);
  const node = await unpackNode(process.arch as Architecture, `${directory}/node`);
  const file = `${directory}/filtermail`;
  await makeSingleFile(bundle, node.binary, file);
  return file;
}

/** Has the file read from the disk again: the pages that a writer leaves are larger and make 30 MB more resident. */
function readAnew(file: string): void {
  execFileSync('sync', [file]);
  execFileSync('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
}

/** Nobody is behind the ports to which mail would go. */
async function writeSite(directory: string): Promise<string> {
  const { dns, ...ports } = await freePorts(
    'filtermail_smtp_port',
    'filtermail_smtp_port_incoming',
    'filtermail_http_port_incoming',
    'filtermail_lmtp_port_transport',
    'postfix_reinject_port',
    'postfix_reinject_port_incoming',
    'dns',
  );
  mkdirSync(`${directory}/mailboxes`, { recursive: true });
  return writeConfig(directory, {
    ...ports,
    mail_domain: mailDomain,
    mailboxes_dir: `${directory}/mailboxes`,
    filtermail_dns_servers: `127.0.0.1:${dns}`,
    filtermail_rejected_dir: `${directory}/rejected`,
    filtermail_spool_dir: directory,
  });
}
