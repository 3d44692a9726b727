// Delta Chat without its face: the cores that its apps are built on, the newest and one of the first series, with accounts that
// sign up, meet and write to each other as people do. What the two series call differently is settled here.

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from './host.ts';
import { type Event, Events, JsonRpc, type Looked } from './json-rpc.ts';

/** Starts a program, into a namespace say, with pipes to it. Nothing else of the environment is for the core: it reads DELTACHAT_*. */
export type Spawn = (argv: readonly string[], options: { env: Record<string, string> }) => ChildProcess;

export type Binary = Readonly<{ version: string; path: string }>;

/** The newest first. `root` is where whoever runs them finds this checkout. */
export function cores(root = checkout): readonly [newest: Binary, first: Binary] {
  const core = (name: string): Binary => {
    const directory = join('node_modules', `${name}-linux-${process.arch}`);
    const manifest = join(checkout, directory, 'package.json');
    assert.ok(existsSync(manifest), `no core of Delta Chat in ${directory} (npm install brings it, on Linux)`);
    const path = join(root, directory, 'deltachat-rpc-server');
    return { version: JSON.parse(readFileSync(manifest, 'utf8')).version, path };
  };
  return [core('@deltachat/stdio-rpc-server'), core('deltachat-1')];
}

/** The number of the contact that is oneself. */
const self = 1;

export class Core {
  readonly version: string;
  readonly isFirst: boolean;
  readonly #rpc: JsonRpc;
  readonly #accounts = new Map<number, Account>();

  private constructor(version: string, rpc: JsonRpc) {
    this.version = version;
    this.isFirst = version.startsWith('1.');
    this.#rpc = rpc;
  }

  /** What it stores goes into `directory`, which it makes. */
  static async start(spawn: Spawn, { version, path }: Binary, directory: string): Promise<Core> {
    const rpc = new JsonRpc(`core ${version}`, spawn([path], { env: { DC_ACCOUNTS_PATH: directory } }));
    const core = new Core(version, rpc);
    const info = (await core.call('get_system_info')) as Record<string, string>;
    assert.equal(info.deltachat_core_version, `v${version}`);
    core.#distribute().catch(error => {
      for (const account of core.#accounts.values()) account.events.end(error);
    });
    return core;
  }

  call(method: string, ...params: readonly unknown[]): Promise<unknown> {
    return this.#rpc.call(method, ...params);
  }

  async signUp(login: Login): Promise<Account> {
    const id = (await this.call('add_account')) as number;
    const account = new Account(this, id, login.address);
    this.#accounts.set(id, account);
    await account.signUp(login);
    return account;
  }

  stop(): Promise<void> {
    return this.#rpc.stop();
  }

  async #distribute(): Promise<void> {
    for (;;) {
      const { contextId, event } = (await this.call('get_next_event')) as { contextId: number; event: Event };
      this.#accounts.get(contextId)?.events.take(event);
    }
  }
}

export type Login = Readonly<{
  /** That a relay has not seen yet: it makes an account at the first login. */
  address: string;
  password: string;
  host: string;
  /** By TLS from the start unless it says otherwise. */
  submission?: 'ssl' | 'starttls';
  displayName?: string;
  /** Further keys of the core's configuration. */
  config?: Readonly<Record<string, string>>;
}>;

export type Message = Readonly<{
  id: number;
  chatId: number;
  fromId: number;
  text: string;
  file: string | null;
  fileName: string | null;
  error: string | null;
  showPadlock: boolean;
  downloadState: string;
}>;

export type Content = Readonly<{ text?: string; file?: string; filename?: string; quotedMessageId?: number }>;

export class Account {
  readonly core: Core;
  readonly id: number;
  readonly address: string;
  readonly events = new Events();
  /** Whom it has met, by address. */
  readonly #contacts = new Map<string, number>();

  constructor(core: Core, id: number, address: string) {
    this.core = core;
    this.id = id;
    this.address = address;
  }

  /** Of this account: its number goes before the parameters. */
  call(method: string, ...params: readonly unknown[]): Promise<unknown> {
    return this.core.call(method, this.id, ...params);
  }

  async signUp({ address, password, host, submission = 'ssl', displayName, config }: Login): Promise<void> {
    await this.call('batch_set_config', {
      displayname: displayName ?? address,
      // No mail but what a test has ordered: no copies to other devices of one's own, and no sync of them.
      ...{ bcc_self: '0', sync_msgs: '0' },
      // Nobody is asked but the relay: no peers for realtime channels, nor other relays, and no key is sent again by itself.
      webxdc_realtime_enabled: '0',
      ...(!this.core.isFirst && { autorelay: '0', keyupdate_debounce: '86400' }),
      ...config,
    });
    // With servers given there is no autoconfiguration. Certificates are not checked (3): the test's authority is unknown here.
    const imap = { ih: host, ip: '993', is: 'ssl', ic: '3' };
    const smtp = { sh: host, sp: submission === 'ssl' ? '465' : '587', ss: submission, sc: '3' };
    const qr = `dclogin:${address}?${new URLSearchParams({ v: '1', p: password, ...imap, ...smtp })}`;
    if (this.core.isFirst) {
      await this.call('set_config_from_qr', qr);
      await this.until(() => this.call('configure'), 'end of configure', 60);
      await this.call('start_io');
    } else {
      await this.until(() => this.call('add_transport_from_qr', qr), 'end of add_transport_from_qr', 60);
    }
    // From here on mail is noticed; what came earlier would not be fetched.
    await this.until(() => this.events.since(0).find(({ kind }) => kind === 'ImapInboxIdle'), 'idle on the inbox');
  }

  until<Found>(look: () => Looked<Found>, what: string, seconds = 30): Promise<Found> {
    return this.events.until(look, `${this.address} (core ${this.core.version}): no ${what}`, seconds);
  }

  /** Scans the invitation of another, to a chat or a group of that one's; both know the other's key afterwards. Its chat here. */
  async join(inviter: Account, group?: number): Promise<number> {
    const marks = [this.events.mark, inviter.events.mark] as const;
    const qr = await inviter.call('get_chat_securejoin_qr_code', group ?? null);
    const chat = (await this.call('secure_join', qr)) as number;
    await this.#joined('SecurejoinJoinerProgress', inviter, marks[0]);
    await inviter.#joined('SecurejoinInviterProgress', this, marks[1]);
    // A group is complete a moment later only.
    await this.until(async () => (await this.call('can_send', chat)) || undefined, `way into chat ${chat}`);
    return chat;
  }

  /** Waits until it is over with that one, others may join at the same time, and remembers who it is. */
  async #joined(kind: string, { address }: Account, mark: number): Promise<void> {
    const look = async () => {
      for (const event of this.events.since(mark)) {
        if (event.kind !== kind || event.progress !== 1000) continue;
        const contact = (await this.call('get_contact', event.contactId)) as { id: number; address: string };
        if (contact.address === address) return contact.id;
      }
      return undefined;
    };
    this.#contacts.set(address, await this.until(look, `end of ${kind} with ${address}`, 60));
  }

  #contact({ address }: Account): number {
    return this.#contacts.get(address) ?? assert.fail(`${this.address} has not met ${address}`);
  }

  /** With an account that has joined this one or the other way round: without its key nothing can be encrypted. */
  async chatWith(other: Account): Promise<number> {
    return (await this.call('create_chat_by_contact_id', this.#contact(other))) as number;
  }

  /** With a stranger who says to be at that address: the key is known, so messages to there are encrypted. */
  async chatAtAddress(stranger: Account, address: string): Promise<number> {
    const card = String(await stranger.call('make_vcard', [self])).replaceAll(stranger.address, address);
    const [contact] = (await this.call('import_vcard_contents', card)) as number[];
    return (await this.call('create_chat_by_contact_id', contact)) as number;
  }

  async createGroup(name: string, members: readonly Account[]): Promise<number> {
    // Not a protected one, which the first series has: it takes in nobody who has the newest core. Encrypted it is all the same.
    const chat = (await this.call('create_group_chat', name, false)) as number;
    for (const member of members) await this.call('add_contact_to_chat', chat, this.#contact(member));
    // Who could not be added is an event only, and what is sent to nobody counts as delivered.
    const { length } = (await this.call('get_chat_contacts', chat)) as number[];
    assert.equal(length, members.length + 1, `${this.address}: members of ${name}`);
    return chat;
  }

  /** The message's number. Whether it leaves is another matter. */
  async send(chat: number, content: Content): Promise<number> {
    return (await this.call('send_msg', chat, { ...content, ...(content.file && { viewtype: 'File' }) })) as number;
  }

  async message(id: number): Promise<Message> {
    return (await this.call('get_message', id)) as Message;
  }

  /** The relay has taken it. */
  async delivered(id: number, seconds?: number): Promise<void> {
    const { kind } = await this.#outcome(id, ['MsgDelivered', 'MsgFailed'], seconds);
    if (kind === 'MsgFailed') assert.fail(`${this.address}: ${(await this.message(id)).error}`);
  }

  /** What its sender is told of the failure, at once or by a bounce. */
  async failed(id: number, seconds?: number): Promise<string> {
    await this.#outcome(id, ['MsgFailed'], seconds);
    return (await this.message(id)).error ?? '';
  }

  /** A recipient has said so. */
  async read(id: number, seconds?: number): Promise<void> {
    await this.#outcome(id, ['MsgRead'], seconds);
  }

  #outcome(id: number, kinds: readonly string[], seconds?: number): Promise<Event> {
    const matches = ({ kind, msgId }: Event) => kinds.includes(kind) && msgId === id;
    return this.until(() => this.events.since(0).find(matches), `${kinds.join(' or ')} of message ${id}`, seconds);
  }

  /**
   * The message with that text or with a file of that name, once it is complete. It has to have been encrypted. The newest core
   * sends a large file in a mail of its own; such another makes one message of both, the first series shows two.
   */
  async received(what: string, seconds?: number): Promise<Message> {
    let looked = 0;
    const look = async () => {
      for (const { kind, msgId } of this.events.since(looked)) {
        looked++;
        if (kind !== 'IncomingMsg' && kind !== 'MsgsChanged') continue;
        // What has been deleted since is not there.
        const message = await this.message(msgId as number).catch(() => undefined);
        if (!message || message.fromId === self || message.downloadState !== 'Done') continue;
        if (message.text === what || message.fileName === what) return message;
      }
      return undefined;
    };
    const message = await this.until(look, `message ${JSON.stringify(what.slice(0, 100))}`, seconds);
    assert.equal(message.showPadlock, true, `${this.address}: ${what} came encrypted`);
    return message;
  }

  /** Whether there is a message with that text by now. */
  async has(text: string): Promise<boolean> {
    return ((await this.call('search_messages', text, null)) as number[]).length > 0;
  }

  /** Its sender is told. */
  async markSeen({ id }: Message): Promise<void> {
    await this.call('markseen_msgs', [id]);
  }

  async react({ id }: Message, emoji: string): Promise<void> {
    await this.call('send_reaction', id, [emoji]);
  }

  /** Somebody has reacted so to a message. */
  async reacted(id: number, emoji: string, seconds?: number): Promise<void> {
    const look = async () => {
      const all = (await this.call('get_message_reactions', id)) as { reactions: { emoji: string }[] } | null;
      return all?.reactions.find(reaction => reaction.emoji === emoji);
    };
    await this.until(look, `reaction ${emoji} to message ${id}`, seconds);
  }

  /** Messages of that chat go away so long after they were seen. */
  async setTimer(chat: number, seconds: number): Promise<void> {
    await this.call('set_chat_ephemeral_timer', chat, seconds);
  }

  /** The timer of that chat is set so, whoever did it. */
  async timerSet(chat: number, timer: number, seconds?: number): Promise<void> {
    const now = () => this.call('get_chat_ephemeral_timer', chat);
    await this.until(async () => (await now()) === timer || undefined, `timer of ${timer} s in chat ${chat}`, seconds);
  }

  async deleteForAll(ids: readonly number[]): Promise<void> {
    await this.call('delete_messages_for_all', ids);
  }

  /** It is not in its chat any more: its time was over or its sender deleted it. */
  async gone({ id, chatId }: Pick<Message, 'id' | 'chatId'>, seconds?: number): Promise<void> {
    const ids = async () => (await this.call('get_message_ids', chatId, false, false)) as number[];
    await this.until(async () => !(await ids()).includes(id) || undefined, `end of message ${id}`, seconds);
  }
}
