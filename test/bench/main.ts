// npm run bench: smtp-source into smtp-sink straight, through HAProxy, through the filter, in turn; the tables go to stdout, progress to stderr.
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
import { measure, type Sample } from './measure.ts';
import { type BenchMessage, encryptedMessage, mailDomain, signedMessage } from './messages.ts';
import { findPrograms } from './programs.ts';
import { scannersTable } from './scanners.ts';
import { type Scenario, scenarios } from './scenarios.ts';
import { filterCommand, type Subject } from './subjects.ts';
import { figuresTable, number, targetsTable } from './table.ts';

const usage = `usage: npm run -s bench -- [--rows ${scenarios.map(({ name }) => name).join(',')}] [--runs 3] [--quick] [--scanners] [--dkim]
  --rows      only these rows
  --runs      measure everything so many times and take the median
  --quick     one run with a tenth of the messages: does it work at all
  --scanners  instead: the pure scanners alone
  --dkim      instead: DKIM verification alone, and mailauth's
  FILTERMAIL=/path/to/binary  measures another binary in the filter's place`;

interface Options {
  readonly rows: readonly Scenario[];
  readonly runs: number;
  readonly quick: boolean;
  /** Tables that need no processes, by the option that asks for them. */
  readonly only: ((runs: number) => string | Promise<string>) | undefined;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string' },
      runs: { type: 'string' },
      quick: { type: 'boolean', default: false },
      scanners: { type: 'boolean', default: false },
      dkim: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  const { quick } = values;
  const only = values.scanners ? scannersTable : values.dkim ? dkimTable : undefined;
  const names = values.rows?.split(',');
  const unknown = names?.find(name => !scenarios.some(scenario => scenario.name === name));
  if (unknown !== undefined) throw new Error(`no such row: ${unknown}`);
  const runs = Number(values.runs ?? (quick ? 1 : 3));
  if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs takes a number from 1 on, not ${values.runs}`);
  return { rows: scenarios.filter(({ name }) => names?.includes(name) ?? true), runs, quick, only };
}

async function measureRow(bench: Bench, scenario: Scenario, signer: Signer, options: Options): Promise<Row> {
  const message = await messageFor(scenario, signer);
  const file = `${bench.directory}/${scenario.name}.eml`;
  writeFileSync(file, message.text, 'latin1');
  const messages = options.quick ? Math.max(scenario.messages / 10, scenario.connections) : scenario.messages;
  const samples: Record<Subject, Sample[]> = { straight: [], haproxy: [], filter: [] };
  const othersBusy: number[] = [];
  for (let run = 1; run <= options.runs; run++) {
    for (const subject of scenario.subjects) {
      othersBusy.push(await busyShare());
      const sample = await measure(bench, subject, scenario, { file, messages });
      samples[subject].push(sample);
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
  const bench = { programs, directory, dnsServer: dns.address };
  const rows: Row[] = [];
  for (const scenario of options.rows) rows.push(await measureRow(bench, scenario, signer, options));
  const busy = median(rows.flatMap(row => row.othersBusy)) * 100;
  console.log(`${describeMachine(programs)}; others used ${busy.toFixed(0)} % of the cores meanwhile.`);
  console.log(`Filter: ${relative('', filterCommand)}; median of ${options.runs}, ratios within a round.\n`);
  console.log(`${figuresTable(rows)}\n\n${targetsTable(rows)}`);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});
