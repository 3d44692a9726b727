/** `filtermail <config> incoming|outgoing|transport`: argv, settings, one mode, until told to stop. */
import { quoted } from './message/text.ts';
import type { Running } from './modes/running.ts';
import { loadSettings, type Settings } from './settings/settings.ts';
import { setCommandName } from './system/command-name.ts';
import { messageOf, stackOf } from './system/errors.ts';
import { type Log, openLog } from './system/log.ts';

const exitFailure = 1;
const exitUsage = 64; // EX_USAGE of sysexits.h
const exitConfig = 78; // EX_CONFIG

type Start = (settings: Settings, log: Log) => Promise<Running>;

/** Only the one that runs is loaded: the others would cost memory and time. */
const modes: Readonly<Record<string, () => Promise<Start>>> = {
  incoming: async () => (await import('./modes/incoming.ts')).startIncoming,
  outgoing: async () => (await import('./modes/outgoing.ts')).startOutgoing,
  transport: async () => (await import('./modes/transport.ts')).startTransport,
};

setCommandName('filtermail');
const [config, modeName = '', ...more] = process.argv.slice(2);
const load = Object.hasOwn(modes, modeName) ? modes[modeName] : undefined;
if (config === undefined || load === undefined || more.length > 0) {
  exit(exitUsage, ['usage: filtermail <config> incoming|outgoing|transport']);
}
const { settings, problems } = loadSettings(config, process.env);
if (problems !== undefined) exit(exitConfig, problems);
await serve(settings, load);

async function serve(settings: Settings, load: () => Promise<Start>): Promise<void> {
  const log = openLog(settings.logFilter);
  process.on('exit', log.flush);
  const survive = (error: unknown) => log.error(`unexpected failure: ${quoted(stackOf(error), 2000)}`);
  process.on('uncaughtException', survive);
  process.on('unhandledRejection', survive);
  if (settings.skipDkim) log.warn('DKIM verification DISABLED! This should not be used in production.');
  let running: Running | null = null;
  let stopping = false;
  const stop = () => {
    if (stopping) return;
    stopping = true;
    if (running === null) process.exit(0);
    running.stop().then(() => process.exit(0));
  };
  // Heard from the first moment and every time: a second signal must not take the answers from transactions that are ending.
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // Node would open its debugger to everybody on this machine.
  process.on('SIGUSR1', () => undefined);
  try {
    const start = await load();
    running = await start(settings, log);
  } catch (error) {
    log.flush();
    exit(exitFailure, [`ERROR cannot start: ${quoted(messageOf(error))}`]);
  }
}

function exit(code: number, lines: readonly string[]): never {
  process.stderr.write(lines.map(line => `${line}\n`).join(''));
  process.exit(code);
}
