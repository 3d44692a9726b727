/** Messages that Delta Chat sent through two relays, as the filter received them. The largest are not part of the project. */
import { readFileSync } from 'node:fs';
import type { Direction } from '../../src/check/encryption.ts';
import type { Envelope } from '../../src/message/envelope.ts';
import { envelope } from './envelopes.ts';

export type CorpusClass = 'encrypted' | 'securejoin' | 'autocrypt-setup' | 'mailer-daemon' | 'cleartext';

export type CorpusMessage = Readonly<{
  name: string;
  direction: Direction;
  class: CorpusClass;
  envelope: Envelope;
  /** Null where the message is absent. */
  mail: string | null;
}>;

const places = ['../messages/deltachat/', '../../../shared/corpus/deltachat/'].map(
  path => new URL(path, import.meta.url),
);

export function readCorpus(): CorpusMessage[] {
  const [, ...rows] = readFileSync(new URL('INDEX.tsv', places[0]), 'latin1').trimEnd().split('\n');
  return rows.map(row => {
    const [name = '', direction, kind, , from = '', recipients = ''] = row.split('\t');
    return {
      name,
      direction: direction as Direction,
      class: kind as CorpusClass,
      envelope: envelope(from, ...recipients.split(',')),
      mail: readMail(name),
    };
  });
}

function readMail(name: string): string | null {
  for (const place of places) {
    try {
      return readFileSync(new URL(`${name}.eml`, place), 'latin1');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return null;
}
