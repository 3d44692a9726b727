/**
 * `npm start`: the real filter between mail clients, stand-ins for Postfix and other servers, on loopback. Sends it good and bad mail and prints what
 * came of it. On a terminal it then stays up to be tried. The exit status tells whether all went as expected.
 */
import { constants } from 'node:os';
import type { Demo } from './demo.ts';
import { incoming } from './incoming.ts';
import { outgoing } from './outgoing.ts';
import { type Outcome, play } from './scene.ts';
import { table } from './table.ts';
import { transport } from './transport.ts';
import { World } from './world.ts';

const demos: readonly Demo[] = [outgoing, incoming, transport];

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
  await using world = await World.open();
  const status = await Promise.race([show(world), signalled, broken]);
  if (typeof status === 'string') return 128 + constants.signals[status];
  if (process.stdin.isTTY && process.stdout.isTTY) await stay(world);
  else follow(world);
  return status;
}

/** Leaves everything up to be tried, until a signal comes. */
async function stay(world: World): Promise<void> {
  for (const demo of demos) say(...(await demo.invitation(world)), '');
  say(`The filter's settings: ${world.relay.config}`, 'Ctrl-C stops everything and removes it.', '');
  follow(world);
  for (const postfix of demos.flatMap(({ mode }) => world.destinations(mode))) {
    postfix.on('arrival', ({ at, from, to, message }) => {
      say(`  ${at}: Postfix got ${message.length} octets from <${from}> to <${to.join('>, <')}>`);
    });
  }
  const ends = world.relays.flatMap(({ filters }) => filters.map(({ ended }) => ended));
  const end = await Promise.race([...ends, signalled.then(() => null), broken]);
  if (end !== null) throw new Error(`the filter ended: ${end}`);
  say('', 'Stopping.');
}

/** Plays all scenes and prints how they went; the exit status. */
async function show(world: World): Promise<number> {
  const outcomes: Outcome[] = [];
  for (const demo of demos) {
    await world.startFilter(demo.mode);
    const these: Outcome[] = [];
    for (const scene of await demo.scenes(world)) {
      these.push(await play(scene, () => world.traces(demo.mode)));
    }
    say('', demo.title, '', table(['sent', 'reply', demo.arrived], these.map(row)));
    outcomes.push(...these);
  }
  const wrong = outcomes.filter(({ asExpected }) => !asExpected).length;
  say(wrong === 0 ? 'All went as expected.' : `NOT as expected: ${wrong} of ${outcomes.length}.`, '');
  return wrong === 0 ? 0 : 1;
}

function row({ sent, replies, found, asExpected }: Outcome) {
  return [asExpected ? sent : [sent, '** NOT AS EXPECTED **'], replies, found];
}

/** Prints the log of the filters, that of another relay with its domain: what there is of it, and what is to come. */
function follow({ relay: shown, relays }: World): void {
  say("The filter's log:", '');
  for (const relay of relays) {
    const mark = relay === shown ? '' : `${relay.domain}: `;
    const sayLine = (line: string) => say(`  ${mark}${line}`);
    for (const filter of relay.filters) {
      filter.log.forEach(sayLine);
      filter.on('line', sayLine);
    }
  }
}

function say(...lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`);
}
