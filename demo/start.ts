/**
 * `npm start`: the real filter between mail clients and stand-ins for Postfix, on loopback. Sends it good and bad mail and prints what
 * came of it. On a terminal it then stays up to be tried. The exit status tells whether all went as expected.
 */
import { constants } from 'node:os';
import type { Demo } from './demo.ts';
import type { Filter } from './filter.ts';
import { incoming } from './incoming.ts';
import { outgoing } from './outgoing.ts';
import { Relay } from './relay.ts';
import { type Outcome, play } from './scene.ts';
import { table } from './table.ts';

const demos: readonly Demo[] = [outgoing, incoming];

/** The two ways to end early. Whatever is under way then, all that was started is stopped and removed. */
const signalled = new Promise<NodeJS.Signals>(resolve => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, resolve);
});
const broken = new Promise<never>((_, reject) => {
  process.on('uncaughtException', reject);
});

// Nobody reads any more: it ends by itself all the same.
process.stdout.on('error', () => undefined);

try {
  process.exit(await run());
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}

async function run(): Promise<number> {
  await using relay = await Relay.open();
  const status = await Promise.race([show(relay), signalled, broken]);
  if (typeof status === 'string') return 128 + constants.signals[status];
  if (process.stdin.isTTY && process.stdout.isTTY) await stay(relay);
  else follow(relay.filters);
  return status;
}

/** Leaves everything up to be tried, until a signal comes. */
async function stay(relay: Relay): Promise<void> {
  for (const demo of demos) say(...(await demo.invitation(relay)), '');
  say(`The filter's settings: ${relay.config}`, 'Ctrl-C stops everything and removes it.', '');
  follow(relay.filters);
  for (const postfix of Object.values(relay.postfix)) {
    postfix.on('arrival', ({ from, to, message }) => {
      say(`  Postfix got ${message.length} octets from <${from}> to <${to.join('>, <')}>`);
    });
  }
  const ends = relay.filters.map(({ ended }) => ended);
  const end = await Promise.race([...ends, signalled.then(() => null), broken]);
  if (end !== null) throw new Error(`the filter ended: ${end}`);
  say('', 'Stopping.');
}

/** Plays all scenes and prints how they went; the exit status. */
async function show(relay: Relay): Promise<number> {
  const outcomes: Outcome[] = [];
  for (const demo of demos) {
    await relay.startFilter(demo.mode).serving();
    const these: Outcome[] = [];
    for (const scene of await demo.scenes(relay)) {
      these.push(await play(scene, () => relay.traces(demo.mode)));
    }
    say('', demo.title, '', table(['sent', 'reply', 'arrived at Postfix'], these.map(row)));
    outcomes.push(...these);
  }
  const wrong = outcomes.filter(({ asExpected }) => !asExpected).length;
  say(wrong === 0 ? 'All went as expected.' : `NOT as expected: ${wrong} of ${outcomes.length}.`, '');
  return wrong === 0 ? 0 : 1;
}

function row({ sent, replies, found, asExpected }: Outcome) {
  return [asExpected ? sent : [sent, '** NOT AS EXPECTED **'], replies, found];
}

/** Prints the log of the filters: what there is of it, and what is to come. */
function follow(filters: readonly Filter[]): void {
  say("The filter's log:", '');
  for (const filter of filters) {
    for (const line of filter.log) say(`  ${line}`);
    filter.on('line', line => say(`  ${line}`));
  }
}

function say(...lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`);
}
