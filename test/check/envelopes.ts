import type { Envelope } from '../../src/message/envelope.ts';

export function envelope(from: string, ...recipients: string[]): Envelope {
  const path = (address: string) => ({ address, parameters: new Map<string, string | null>() });
  return { from: path(from), recipients: recipients.map(path), xforward: [] };
}
