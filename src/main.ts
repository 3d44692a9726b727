/** `filtermail <config> incoming|outgoing|transport`: settings, system, one mode, until told to stop. */
import { lookup } from 'node:dns/promises';
import { type Listener, listen } from './accept/smtp-server.ts';
import { Reinjector } from './deliver/reinject.ts';
import { quoted } from './message/text.ts';
import { Outgoing } from './modes/outgoing.ts';
import { loadSettings, type Settings } from './settings/settings.ts';
import { monotonicClock } from './system/clock.ts';
import { type Log, openLog } from './system/log.ts';
import { openMailboxes } from './system/mailboxes.ts';
import { SpoolStore } from './system/spool.ts';

const exitUsage = 64;
const exitConfig = 78;
const stopGrace = 10_000;

process.title = 'filtermail';
const [config, mode, ...more] = process.argv.slice(2);
if (config === undefined || (mode !== 'incoming' && mode !== 'outgoing' && mode !== 'transport') || more.length > 0) {
  process.stderr.write('usage: filtermail <config> incoming|outgoing|transport\n');
  process.exit(exitUsage);
}
const { settings, problems } = loadSettings(config, process.env);
if (problems !== undefined) {
  process.stderr.write(problems.map(problem => `${problem}\n`).join(''));
  process.exit(exitConfig);
}
await run(settings);

async function run(settings: Settings): Promise<void> {
  const log = openLog(settings.logFilter);
  process.on('exit', () => log.flush());
  if (settings.skipDkim) log.warn('DKIM verification DISABLED! This should not be used in production.');
  try {
    const { stop } = await startOutgoing(settings, log);
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        stop().then(() => process.exit(0));
      });
    }
  } catch (error) {
    log.error(`cannot start: ${quoted(error instanceof Error ? error.message : String(error))}`);
    process.exitCode = 1;
  }
}

async function startOutgoing(settings: Settings, log: Log): Promise<{ stop: () => Promise<void> }> {
  const clock = monotonicClock;
  const { address } = await lookup(settings.postfixHost);
  const name = settings.host.includes(':') ? `[IPv6:${settings.host}]` : `[${settings.host}]`;
  const reinjector = new Reinjector({ address, port: settings.reinjectPort, name, clock });
  const mailboxes = openMailboxes(settings.mailboxesDir, settings.addressDomains);
  const listener: Listener = await listen(settings.host, settings.smtpPort, {
    protocol: 'SMTP',
    name: settings.serverName,
    domain: settings.mailDomain,
    maxMessageSize: settings.maxMessageSize,
    label: 'Outgoing',
    reception: new Outgoing(settings, { clock, log, mailboxes, reinjector }),
    store: new SpoolStore(settings.spoolDir),
    log,
    clock,
  });
  log.info('Outgoing: entering serving loop');
  return {
    async stop() {
      await listener.stop(stopGrace);
      reinjector.close();
    },
  };
}
