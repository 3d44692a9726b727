// What a command line was taken for, or why it was refused.

import assert from 'node:assert/strict';
import { type Command, parseCommand } from '../../src/wire/command.ts';
import { formatReply } from '../../src/wire/reply.ts';

export const controls = Array.from({ length: 32 }, (_, code) => String.fromCharCode(code)).concat('\x7f');

export function commandOf(line: string): Command {
  const parsed = parseCommand(line);
  assert.ok('command' in parsed, `refused: ${JSON.stringify(line)}`);
  return parsed.command;
}

/** Code and enhanced status code of the refusal. */
export function refusalOf(line: string): string {
  const parsed = parseCommand(line);
  assert.ok('refusal' in parsed, `taken: ${JSON.stringify(line)}`);
  return /^[0-9]{3} [0-9]\.[0-9]\.[0-9]+(?= )/.exec(formatReply(parsed.refusal))?.[0] ?? 'no status code';
}

export function pathOf(line: string): { address: string; parameters: Record<string, string | null> } {
  const command = commandOf(line);
  assert.ok('address' in command, line);
  return { address: command.address, parameters: Object.fromEntries(command.parameters) };
}
