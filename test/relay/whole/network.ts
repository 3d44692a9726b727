// One network between hosts, with IPv4 and IPv6, that leads nowhere else.

import type { Host } from './host.ts';

export type Addresses = Readonly<{ ipv4: string; ipv6: string }>;

/** Of the hosts in their order; the first carries the bridge. */
export function addresses(index: number): Addresses {
  return { ipv4: `192.0.2.${index + 1}`, ipv6: `fd55::${index + 1}` };
}

export function connect(hosts: readonly Host[]): void {
  const [middle] = hosts;
  if (!middle) return;
  middle.network('ip', 'link', 'add', 'name', 'bridge', 'type', 'bridge');
  for (const [index, host] of hosts.entries()) {
    const device = host === middle ? 'bridge' : 'eth0';
    if (host !== middle) {
      const port = `port${index}`;
      const peer = ['peer', 'name', device, 'netns', String(host.pid)];
      middle.network('ip', 'link', 'add', 'name', port, 'type', 'veth', ...peer);
      middle.network('ip', 'link', 'set', port, 'master', 'bridge', 'up');
    }
    const { ipv4, ipv6 } = addresses(index);
    host.network('ip', 'address', 'add', `${ipv4}/24`, 'dev', device);
    // Without detection of duplicates an address is of use at once.
    host.network('ip', 'address', 'add', `${ipv6}/64`, 'dev', device, 'nodad');
    host.network('ip', 'link', 'set', device, 'up');
  }
}

export type Family = keyof Addresses;

/** What `host` sends to that address vanishes. */
export function cut(host: Host, address: string): void {
  host.network('ip', 'neighbour', 'replace', address, 'lladdr', '02:00:00:00:00:01', 'dev', 'eth0', 'nud', 'permanent');
}

export function mend(host: Host, address: string): void {
  host.network('ip', 'neighbour', 'del', address, 'dev', 'eth0');
}
