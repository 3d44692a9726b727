// The accounts of a relay, as chatmail's own service keeps them: whoever logs in with an address that nobody has yet gets it. Dovecot
// asks over its dict protocol: a line `L<key>` (look-up), answered by `O<value>` (found) or `N` (not there).

import { once } from 'node:events';
import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { accountsSocket } from './dovecot-files.ts';
import type { Host } from './host.ts';

export class Accounts implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #passwords = new Map<string, string>();
  readonly #host: Host;
  readonly #domain: string;
  readonly #mailboxes: string;
  readonly #owner: number;

  private constructor(host: Host, domain: string, mailboxes: string, owner: number) {
    this.#host = host;
    this.#domain = domain;
    this.#mailboxes = mailboxes;
    this.#owner = owner;
    this.#server = createServer(socket => this.#serve(socket));
  }

  static async start(host: Host, domain: string, mailboxes: string, owner: number): Promise<Accounts> {
    const accounts = new Accounts(host, domain, mailboxes, owner);
    const path = host.path(accountsSocket);
    mkdirSync(dirname(path), { recursive: true });
    accounts.#server.listen({ path, readableAll: true, writableAll: true });
    await once(accounts.#server, 'listening');
    return accounts;
  }

  /** Where the messages and marks of an address are, as found from here. */
  directory(address: string): string {
    return this.#host.path(`${this.#mailboxes}/${address}`);
  }

  /** As if it had never been there; its messages stay. */
  remove(address: string): void {
    this.#passwords.delete(address);
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket)).on('error', () => socket.destroy());
    let rest = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.startsWith('L')) socket.write(`${this.#look(line.slice(1))}\n`);
    });
  }

  #look(line: string): string {
    const [, type = '', key = ''] = /^shared\/(userdb|passdb)\/([^\t]*)/.exec(line) ?? [];
    const parts = key.split('"').map(part => part.replaceAll(/\\(.)/g, '$1'));
    const [address = '', password] = type === 'passdb' ? [parts[1], parts[0]] : parts;
    if (password !== undefined) this.#create(address, password);
    const right = this.#passwords.get(address);
    if (right === undefined) return 'N';
    const value = { addr: address, home: `${this.#mailboxes}/${address}`, uid: 'vmail', gid: 'vmail' };
    return `O${JSON.stringify({ ...value, ...(type === 'passdb' && { password: right }) })}`;
  }

  #create(address: string, password: string): void {
    if (!address.endsWith(`@${this.#domain}`) || this.#passwords.has(address)) return;
    this.#passwords.set(address, password);
    const directory = this.directory(address);
    mkdirSync(directory, { mode: 0o700 });
    writeFileSync(`${directory}/enforceE2EEincoming`, '');
    for (const path of [directory, `${directory}/enforceE2EEincoming`]) chownSync(path, this.#owner, this.#owner);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
