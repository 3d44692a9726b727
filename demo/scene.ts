/** A scene: letters that are sent to the filter, what must come of them, and what did. */
import type { Letter } from './messages.ts';
import type { Arrival } from './postfix.ts';

export type Scene = Readonly<{
  sent: string;
  letters: readonly Letter[];
  /** Each reply that must come, and how often; `…` stands for any text. */
  replies: readonly Readonly<{ reply: string; times: number }>[];
  /** How many of the letters must reach Postfix. */
  arrive: number;
  /** What can be said of the first one that arrived when it is read; rejects when it cannot be. */
  read?: (message: Buffer) => Promise<string>;
}>;

/** A scene as it went. */
export type Outcome = Readonly<{ sent: string; replies: readonly string[]; arrived: string; asExpected: boolean }>;

/** Plays a scene: all letters at once; `send` gives the reply, `arrivals` what Postfix got by then. */
export async function play(
  scene: Scene,
  send: (letter: Letter) => Promise<string>,
  arrivals: () => readonly Arrival[],
): Promise<Outcome> {
  const replies = await Promise.all(scene.letters.map(send));
  return await judge(scene, replies, arrivals());
}

export async function judge(
  { sent, letters, replies: wanted, arrive, read }: Scene,
  replies: readonly string[],
  arrivals: readonly Arrival[],
): Promise<Outcome> {
  const intact = letters.filter(letter => arrivals.filter(arrival => isSame(letter, arrival)).length === 1).length;
  const repliesFit =
    wanted.reduce((sum, { times }) => sum + times, 0) === replies.length &&
    wanted.every(({ reply, times }) => replies.filter(given => matches(given, reply)).length === times);
  const [first] = arrivals;
  const reading = first && read ? await attempted(read(first.message)) : { text: '', failed: false };
  return {
    sent,
    replies: counted(replies),
    arrived: describe(intact, arrivals.length - intact) + reading.text,
    asExpected: repliesFit && intact === arrive && arrivals.length === arrive && !reading.failed,
  };
}

function isSame({ from, to, message }: Letter, arrival: Arrival): boolean {
  return arrival.from === from && arrival.to.join() === to && arrival.message.equals(message);
}

function matches(given: string, wanted: string): boolean {
  return new RegExp(`^${wanted.split('…').map(RegExp.escape).join('.*')}$`, 's').test(given);
}

async function attempted(text: Promise<string>): Promise<{ text: string; failed: boolean }> {
  try {
    return { text: `; ${await text}`, failed: false };
  } catch {
    return { text: '; it cannot be read', failed: true };
  }
}

/** Each different reply once, with how often it came. */
function counted(replies: readonly string[]): string[] {
  if (replies.length === 1) return [...replies];
  const times = new Map<string, number>();
  for (const reply of replies) times.set(reply, (times.get(reply) ?? 0) + 1);
  return [...times].sort().map(([reply, count]) => `${count} x ${reply}`);
}

function describe(intact: number, others: number): string {
  if (others > 0) return `${intact} unchanged, ${others} NOT AS SENT`;
  if (intact === 0) return 'nothing';
  return intact === 1 ? 'the same octets' : `${intact}, the same octets`;
}
