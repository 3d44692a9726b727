// npm run bench: smtp-source into smtp-sink straight, through HAProxy, through the filter, in turn, and the transport mode beside Postfix's
// smtp(8); the tables go to stdout, progress to stderr.
// It installs nothing, uses loopback ports and a temporary directory only. `--help` prints the options.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { parseArgs } from 'node:util';
import { DnsServer } from '../peers/dns-server.ts';
import { Signer } from '../peers/signer.ts';
import { dkimTable } from './dkim.ts';
import { median, type Row } from './figures.ts';
import type { Bench } from './load.ts';
import { busyShare, describeMachine } from './machine.ts';
import { measure } from './measure.ts';
import { type BenchMessage, encryptedMessage, mailDomain, signedMessage } from './messages.ts';
import { whyNoPostfix } from './postfix-queue.ts';
import { findPrograms } from './programs.ts';
import { Remotes } from './remotes.ts';
import type { Sample } from './sample.ts';
import { scannersTable } from './scanners.ts';
import { type Scenario, scenarios } from './scenarios.ts';
import { filterCommand, type Subject } from './subjects.ts';
import { figuresTable, number, targetsTable, transportTable } from './table.ts';

const usage = `usage: npm run -s bench -- [--rows ${scenarios.map(({ name }) => name).join(',')}] [--runs 3] [--quick] [--idle] [--scanners] [--dkim] [--start]
  --rows      only these rows
  --runs      measure everything so many times and take the median; starts 15 times
  --quick     one run with a tenth of the messages: does it work at all
  --idle      wait 2 minutes after out-many: are its connections gone
  --scanners  instead: the pure scanners alone
  --dkim      instead: DKIM verification alone, and mailauth's
  --start     instead: from exec until it serves, of the single file and of the checkout
  FILTERMAIL=/path/to/binary  measures another binary in the filter's place, with --start in that of the single file`;

interface Options {
  readonly rows: readonly Scenario[];
  readonly runs: number;
  readonly quick: boolean;
  readonly idle: boolean;
  /** A table that needs no other programs. */
  readonly only: ((runs: number) => string | Promise<string>) | undefined;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string' },
      runs: { type: 'string' },
      quick: { type: 'boolean', default: false },
      idle: { type: 'boolean', default: false },
      scanners: { type: 'boolean', default: false },
      dkim: { type: 'boolean', default: false },
      start: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  const { quick, idle } = values;
  const only = values.scanners ? scannersTable : values.dkim ? dkimTable : values.start ? startTable : undefined;
  const names = values.rows?.split(',');
  const unknown = names?.find(name => !scenarios.some(scenario => scenario.name === name));
  if (unknown !== undefined) throw new Error(`no such row: ${unknown}`);
  const runs = Number(values.runs ?? (quick ? 1 : values.start ? 15 : 3));
  if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs takes a number from 1 on, not ${values.runs}`);
  return { rows: scenarios.filter(({ name }) => names?.includes(name) ?? true), runs, quick, idle, only };
}

/** Loaded when asked for: a bundler comes with it. */
async function startTable(runs: number): Promise<string> {
  return (await import('./start.ts')).startTable(runs);
}

async function measureRow(bench: Bench, scenario: Scenario, signer: Signer, options: Options): Promise<Row> {
  const message = await messageFor(scenario, signer);
  const file = `${bench.directory}/${scenario.name}.eml`;
  writeFileSync(file, message.text, 'latin1');
  const messages = options.quick ? Math.max(scenario.messages / 10, scenario.connections) : scenario.messages;
  const samples: Partial<Record<Subject, Sample[]>> = {};
  const othersBusy: number[] = [];
  for (let run = 1; run <= options.runs; run++) {
    for (const subject of scenario.subjects) {
      othersBusy.push(await busyShare());
      const sample = await measure(bench, subject, scenario, {
        file,
        messages,
        idle: options.idle && run === options.runs,
      });
      (samples[subject] ??= []).push(sample);
      const cpu = sample.process ? `, ${number(sample.process.cpuMs)} ms CPU each` : '';
      console.error(`${scenario.title}, ${run}: ${subject} ${number(sample.messagesPerSecond)} messages/s${cpu}`);
    }
  }
  rmSync(file);
  return { scenario, octets: message.octets, samples, othersBusy };
}

function messageFor({ mode, octets }: Scenario, signer: Signer): BenchMessage | Promise<BenchMessage> {
  return mode === 'incoming' ? signedMessage(octets, signer) : encryptedMessage(octets);
}

async function main(): Promise<void> {
  let options: Options;
  try {
    options = readOptions();
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`);
    process.exit(64);
  }
  if (options.only) {
    console.log(await options.only(options.runs));
    return;
  }
  const programs = findPrograms();
  if ('install' in programs) {
    console.error(
      `bench: Postfix's smtp-source and smtp-sink and HAProxy are needed; run as root:\n${programs.install}`,
    );
    process.exit(1);
  }

  const directory = mkdtempSync('/var/tmp/filtermail-bench-'); // /tmp may be memory
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  await using dns = await DnsServer.listen();
  const signer = new Signer(mailDomain);
  dns.txt(signer.name, [signer.record]);
  const bench = { programs, directory, dnsServer: dns.address, remotes: new Remotes(dns) };
  const rows: Row[] = [];
  for (const scenario of possible(options.rows)) rows.push(await measureRow(bench, scenario, signer, options));
  const busy = median(rows.flatMap(row => row.othersBusy)) * 100;
  console.log(`${describeMachine(programs)}; others used ${busy.toFixed(0)} % of the cores meanwhile.`);
  console.log(`Filter: ${relative('', filterCommand)}; median of ${options.runs}, ratios within a round.\n`);
  const [transport, others] = [true, false].map(is => rows.filter(row => (row.scenario.mode === 'transport') === is));
  if (others?.length) console.log(`${figuresTable(others)}\n`);
  if (transport?.length) console.log(`${transportTable(transport)}\n`);
  console.log(targetsTable(rows));
}

/** Without the comparison with Postfix where it cannot run. */
function possible(rows: readonly Scenario[]): readonly Scenario[] {
  const isPostfix = (subject: Subject) => subject.startsWith('postfix');
  const why = whyNoPostfix();
  if (why === undefined || !rows.some(row => row.subjects.some(isPostfix))) return rows;
  console.error(`Without the rows of postfix: ${why}`);
  return rows.map(row => ({ ...row, subjects: row.subjects.filter(subject => !isPostfix(subject)) }));
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});
