// The accounts of a relay, as chatmail's own service keeps them: whoever logs in with an address that nobody has yet gets it. Dovecot
// asks over its dict protocol: a line `L<key>` (look-up), answered by `O<value>` (found) or `N` (not there).

import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { accountsSocket } from './dovecot-files.ts';
import type { Host } from './host.ts';

export class Accounts implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #passwords = new Map<string, string>();
  readonly #host: Host;
  readonly #domain: string;
  readonly #mailboxes: string;

  private constructor(host: Host, domain: string, mailboxes: string) {
    this.#host = host;
    this.#domain = domain;
    this.#mailboxes = mailboxes;
    this.#server = createServer(socket => void this.#serve(socket).catch(() => socket.destroy()));
  }

  static async start(host: Host, domain: string, mailboxes: string): Promise<Accounts> {
    const accounts = new Accounts(host, domain, mailboxes);
    await host.run(['mkdir', '-p', dirname(accountsSocket)]);
    accounts.#server.listen({ path: host.path(accountsSocket), readableAll: true, writableAll: true });
    await once(accounts.#server, 'listening');
    accounts.#server.unref(); // after a start that has failed nobody closes it
    return accounts;
  }

  /** Where the messages and marks of an address are, in the host. */
  directory(address: string): string {
    return `${this.#mailboxes}/${address}`;
  }

  /** An admin takes an account out of circulation, or gives it back. */
  async disable(address: string, disabled: boolean): Promise<void> {
    await this.#host.run([...(disabled ? ['touch'] : ['rm']), `${this.directory(address)}/DISABLED`]);
  }

  /** As if it had never been there; its messages stay. */
  remove(address: string): void {
    this.#passwords.delete(address);
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    for await (const line of createInterface({ input: socket })) {
      if (line.startsWith('L')) socket.write(`${await this.#look(line.slice(1))}\n`);
    }
  }

  async #look(line: string): Promise<string> {
    const [, type = '', key = ''] = /^shared\/(userdb|passdb)\/([^\t]*)/.exec(line) ?? [];
    const parts = key.split('"').map(part => part.replaceAll(/\\(.)/g, '$1'));
    const [address = '', password] = type === 'passdb' ? [parts[1], parts[0]] : parts;
    if (password !== undefined) await this.#create(address, password);
    const right = this.#passwords.get(address);
    if (right === undefined) return 'N';
    const value = { addr: address, home: this.directory(address), uid: 'vmail', gid: 'vmail' };
    return `O${JSON.stringify({ ...value, ...(type === 'passdb' && { password: right }) })}`;
  }

  async #create(address: string, password: string): Promise<void> {
    if (!address.endsWith(`@${this.#domain}`) || this.#passwords.has(address)) return;
    this.#passwords.set(address, password);
    const script = 'umask 077; mkdir "$0" && touch "$0/enforceE2EEincoming" && chown -R vmail:vmail "$0"';
    await this.#host.run(['sh', '-c', script, this.directory(address)]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
