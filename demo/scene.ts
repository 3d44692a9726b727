/** A scene: letters that are sent to the filter, what must come of them, and what did. */
import type { Carrier } from './carriers.ts';
import type { Kept } from './kept.ts';
import type { Letter } from './messages.ts';
import type { Arrival } from './postfix.ts';

type ArriveAs = Partial<Omit<Arrival, 'message'>>;

export type Scene = Readonly<{
  sent: string;
  letters: readonly Letter[];
  send: Carrier;
  /** Each reply that must come, and how often; `…` stands for any text. */
  replies: readonly Readonly<{ reply: string; times: number }>[];
  /** How many of the letters must reach Postfix. */
  arrive: number;
  /** Where they must, and what of their envelope must be other than in the letters by then. */
  arriveAs?: ArriveAs;
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
  return await judge(scene, replies.flat(), traces());
}

export async function judge(scene: Scene, replies: readonly string[], { arrivals, kept }: Traces): Promise<Outcome> {
  const { sent, letters, arrive, arriveAs = {}, keep = 0, read } = scene;
  const intact = countOnce(letters, arrivals, (letter, arrival) => arrivedAs({ ...letter, ...arriveAs }, arrival));
  const keptIntact = countOnce(letters, kept, (letter, file) => file.message.equals(letter.message));
  const [first] = arrivals;
  const reading = first && read ? await attempted(read(first.message)) : { text: [], failed: false };
  return {
    sent,
    replies: counted(replies),
    found: [describe(intact, arrivals.length, arriveAs), ...reading.text, ...describeKept(keptIntact, kept)],
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

function arrivedAs(wanted: Letter & ArriveAs, arrival: Arrival): boolean {
  const { at = arrival.at, from, to, message } = wanted;
  const isItsEnvelope = arrival.from === from && arrival.to.join() === to.join();
  return arrival.at === at && isItsEnvelope && arrival.message.equals(message);
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

/** All of them when no two are equal, else each different one with how often it came. */
function counted(replies: readonly string[]): string[] {
  const times = new Map<string, number>();
  for (const reply of replies) times.set(reply, (times.get(reply) ?? 0) + 1);
  if (times.size === replies.length) return [...replies];
  return [...times].sort().map(([reply, count]) => `${count} x ${reply}`);
}

function describe(intact: number, all: number, { at, from, to }: ArriveAs): string {
  if (all > intact) return `${intact} unchanged, ${all - intact} NOT AS SENT`;
  if (intact === 0) return 'nothing';
  const what = intact === 1 ? 'the same octets' : `${intact}, the same octets`;
  const sender = from === undefined ? '' : ` from <${from}>`;
  const recipients = to === undefined ? '' : ` to <${to.join('>, <')}>`;
  return `${what}${sender}${recipients}${at === undefined ? '' : ` at ${at}`}`;
}

function describeKept(intact: number, kept: readonly Kept[]): string[] {
  if (kept.length === 0) return [];
  return [`kept, ${kept.length > intact ? 'NOT AS SENT' : 'the same octets'}:`, ...kept.map(({ path }) => path)];
}
