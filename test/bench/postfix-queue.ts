// Postfix's own smtp(8) at the same work: a private instance whose queue is full before it begins, and the same TLS sink. Default settings
// but for TLS, which is required as chatmail relays require it, without a look at the certificate; up to 20 deliveries at once.

import { readdirSync, renameSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../peers/ports.ts';
import { Postfix, whyNoPostfix } from '../relay/postfix.ts';
import { type Bench, type Load, send } from './load.ts';
import { mailDomain } from './messages.ts';
import { familyCpuMs } from './processes.ts';
import type { Sample } from './sample.ts';

export { whyNoPostfix };

/** Postfix's default opens a connection, with a TLS handshake, for each message; the other keeps connections in tlsproxy(8). */
export type TlsConnections = 'one each' | 'kept';

const withinMs = 600_000;

export async function measurePostfix(
  bench: Bench,
  sinkPort: number,
  load: Load,
  connections: TlsConnections,
): Promise<Sample> {
  const reinjectPort = await freePort();
  const postfix = await Postfix.start({
    domain: mailDomain,
    direction: 'outgoing',
    entryPort: await freePort(),
    filterPort: await freePort(),
    reinjectPort,
    sinkPort,
    reinject: ['smtpd_client_restrictions=check_client_access static:HOLD'],
    main: {
      message_size_limit: 50_000_000,
      smtp_send_xforward_command: 'no',
      smtp_tls_security_level: 'encrypt',
      smtp_tls_session_cache_database: 'btree:$data_directory/smtp_scache',
      smtp_tls_connection_reuse: connections === 'kept' ? 'yes' : 'no',
    },
    services: ['tlsmgr unix - - n 1000? 1 tlsmgr', 'tlsproxy unix - - n - 0 tlsproxy'],
  });
  try {
    await send(bench, reinjectPort, load);
    await postfix.stop();
    const [hold, incoming, active, deferred] = ['hold', 'incoming', 'active', 'deferred'].map(
      stage => `${postfix.directory}/queue/${stage}`,
    ) as [string, string, string, string];
    renameSync(incoming, `${incoming}-empty`);
    renameSync(hold, incoming);
    renameSync(`${incoming}-empty`, hold);

    const mark = postfix.log.mark;
    await postfix.start();
    const start = performance.now();
    const master = Number(/master\[(\d+)\]/.exec(await postfix.log.find(/daemon started/, mark))?.[1]);
    // In the order of their way, so that none slips by; seldom, because a full queue takes long to list.
    while ([incoming, active].some(stage => readdirSync(stage).length > 0)) {
      if (performance.now() - start > withinMs) throw new Error('Postfix does not come to the end of its queue');
      await sleep(50);
    }
    const seconds = (performance.now() - start) / 1000;
    // Its children come and go: those that have ended count in what master has waited for, the others are still there and are counted
    // one by one. Each of the latter is cut to hundredths of a second, in Postfix's favour. Nobody has ended unwaited: master reaps at once.
    const cpuMs = familyCpuMs(master) / load.messages;
    if (readdirSync(deferred, { recursive: true, withFileTypes: true }).some(entry => entry.isFile()))
      throw new Error(`Postfix deferred mail:\n${postfix.log.since(-20).join('\n')}`);
    return { messagesPerSecond: load.messages / seconds, process: { cpuMs } };
  } finally {
    await postfix.end();
  }
}
