/** Ports that can be written into a configuration before anything listens on them. */
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * So many ports of an address, below the range from which the system takes the ports of outgoing connections: one of those could take it
 * before the filter does.
 */
export async function freePorts(address: string, count: number): Promise<readonly number[]> {
  const first = 10_240 + Math.floor(Math.random() * 20_000);
  const ports = Array.from({ length: count }, (_, index) => first + index);
  for (const port of ports) if (!(await isFree(address, port))) return await freePorts(address, count);
  return ports;
}

async function isFree(address: string, port: number): Promise<boolean> {
  const server = createServer().listen(port, address);
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
