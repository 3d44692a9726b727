/** Where checked mail goes: Postfix's reinjection service. */
import { lookup } from 'node:dns/promises';
import { Reinjector } from '../deliver/reinject.ts';
import type { Settings } from '../settings/settings.ts';
import type { Clock } from '../system/clock.ts';

/** Rejects when `postfix_host` has no address. */
export async function openReinjector(settings: Settings, port: number, clock: Clock): Promise<Reinjector> {
  // Postfix on a relay often listens on 127.0.0.1 alone, while localhost means ::1 too.
  const { address } = await lookup(settings.postfixHost, { order: 'ipv4first' });
  const name = settings.host.includes(':') ? `[IPv6:${settings.host}]` : `[${settings.host}]`;
  return new Reinjector({ address, port, name, clock });
}
