// The pure scanners alone: milliseconds for a message of 30 MB, fed in chunks as a socket delivers them. No network, no process.

import { MessageScanner } from '../../src/message/scanner.ts';
import { DataReader } from '../../src/wire/data-reader.ts';
import { median } from './figures.ts';
import { encryptedMessage } from './messages.ts';
import { markdown } from './table.ts';

interface Scanner {
  readonly name: string;
  /** A fresh scanner: takes chunk after chunk, then `end`. */
  readonly start: () => { feed(chunk: Buffer): void; end?(): void };
}

/** One entry a scanner. */
const scanners: readonly Scanner[] = [
  {
    name: 'line rules and dots',
    start: () => {
      const reader = new DataReader();
      return { feed: chunk => void reader.feed(chunk) };
    },
  },
  {
    name: 'the same, then header, multipart, armor and packets',
    start: () => {
      const reader = new DataReader();
      const scanner = new MessageScanner();
      return { feed: chunk => scanner.feed(reader.feed(chunk).text), end: () => void scanner.end() };
    },
  },
];

const chunkSize = 64 * 1024;

export function scannersTable(runs: number): string {
  const message = Buffer.from(encryptedMessage(30e6).text.replaceAll('\n', '\r\n'), 'latin1');
  const lines = scanners.map(scanner => {
    const times = Array.from({ length: runs + 1 }, () => time(scanner, message)).slice(1); // the first one warms up
    return [scanner.name, median(times).toFixed(1)];
  });
  return markdown(['scanner', 'ms for 30 MB'], lines, 1);
}

function time(scanner: Scanner, message: Buffer): number {
  const start = performance.now();
  const { feed, end } = scanner.start();
  for (let at = 0; at < message.length; at += chunkSize) feed(message.subarray(at, at + chunkSize));
  end?.();
  return performance.now() - start;
}
