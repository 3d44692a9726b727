/** A scene: letters that are sent to the filter, what must come of them, and what did. */
import type { Carrier } from './carriers.ts';
import type { Kept } from './kept.ts';
import type { Letter } from './messages.ts';
import type { Arrival } from './postfix.ts';

export type Scene = Readonly<{
  sent: string;
  letters: readonly Letter[];
  send: Carrier;
  /** Each reply that must come, and how often; `…` stands for any text. */
  replies: readonly Readonly<{ reply: string; times: number }>[];
  /** How many of the letters must reach Postfix. */
  arrive: number;
  /** The sender that Postfix must hear, where it is not that of the letter. */
  arriveFrom?: string;
  /** How many of the letters must be kept as files; none unless told. */
  keep?: number;
  /** What can be said of the first one that arrived when it is read; rejects when it cannot be. */
  read?: (message: Buffer) => Promise<string>;
}>;

/** Where letters were found after the replies. */
export type Traces = Readonly<{ arrivals: readonly Arrival[]; kept: readonly Kept[] }>;

/** A scene as it went. */
export type Outcome = Readonly<{
  sent: string;
  replies: readonly string[];
  found: readonly string[];
  asExpected: boolean;
}>;

/** Plays a scene: all letters at once; `traces` tells what is found by then. */
export async function play(scene: Scene, traces: () => Traces): Promise<Outcome> {
  const replies = await Promise.all(scene.letters.map(scene.send));
  return await judge(scene, replies, traces());
}

export async function judge(scene: Scene, replies: readonly string[], { arrivals, kept }: Traces): Promise<Outcome> {
  const { sent, letters, arrive, arriveFrom, keep = 0, read } = scene;
  const intact = countOnce(letters, arrivals, ({ from, to, message }, arrival) => {
    return arrival.from === (arriveFrom ?? from) && arrival.to.join() === to.join() && arrival.message.equals(message);
  });
  const keptIntact = countOnce(letters, kept, (letter, file) => file.message.equals(letter.message));
  const [first] = arrivals;
  const reading = first && read ? await attempted(read(first.message)) : { text: [], failed: false };
  return {
    sent,
    replies: counted(replies),
    found: [describe(intact, arrivals.length, arriveFrom), ...reading.text, ...describeKept(keptIntact, kept)],
    asExpected:
      repliesFit(replies, scene.replies) &&
      intact === arrive &&
      arrivals.length === arrive &&
      keptIntact === keep &&
      kept.length === keep &&
      !reading.failed,
  };
}

/** How many of the letters were found, and not more than once. */
function countOnce<Found>(
  letters: readonly Letter[],
  found: readonly Found[],
  isSame: (letter: Letter, found: Found) => boolean,
): number {
  return letters.filter(letter => found.filter(each => isSame(letter, each)).length === 1).length;
}

function repliesFit(replies: readonly string[], wanted: Scene['replies']): boolean {
  return (
    wanted.reduce((sum, { times }) => sum + times, 0) === replies.length &&
    wanted.every(({ reply, times }) => replies.filter(given => matches(given, reply)).length === times)
  );
}

function matches(given: string, wanted: string): boolean {
  return new RegExp(`^${wanted.split('…').map(RegExp.escape).join('.*')}$`, 's').test(given);
}

async function attempted(text: Promise<string>): Promise<{ text: string[]; failed: boolean }> {
  try {
    return { text: [await text], failed: false };
  } catch {
    return { text: ['it cannot be read'], failed: true };
  }
}

/** Each different reply once, with how often it came. */
function counted(replies: readonly string[]): string[] {
  if (replies.length === 1) return [...replies];
  const times = new Map<string, number>();
  for (const reply of replies) times.set(reply, (times.get(reply) ?? 0) + 1);
  return [...times].sort().map(([reply, count]) => `${count} x ${reply}`);
}

function describe(intact: number, all: number, from: string | undefined): string {
  if (all > intact) return `${intact} unchanged, ${all - intact} NOT AS SENT`;
  if (intact === 0) return 'nothing';
  const sender = from === undefined ? '' : ` from <${from}>`;
  return (intact === 1 ? 'the same octets' : `${intact}, the same octets`) + sender;
}

function describeKept(intact: number, kept: readonly Kept[]): string[] {
  if (kept.length === 0) return [];
  return [`kept, ${kept.length > intact ? 'NOT AS SENT' : 'the same octets'}:`, ...kept.map(({ path }) => path)];
}
