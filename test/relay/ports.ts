import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Loopback ports nobody listens on. Below the range from which the system takes the ports of outgoing connections: else one of
 * those could take a port while Postfix is stopped.
 */
export async function freePorts<Name extends string>(...names: Name[]): Promise<Record<Name, number>> {
  const ports = new Set<number>();
  while (ports.size < names.length) ports.add(await freePort());
  return Object.fromEntries([...ports].map((port, index) => [names[index], port]));
}

async function freePort(): Promise<number> {
  const port = 10240 + Math.floor(Math.random() * 22000);
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  } catch {
    return await freePort();
  }
  server.close();
  await once(server, 'close');
  return port;
}
