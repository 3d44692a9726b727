// The HTTP entrance in this process, with a mode and a log that do as they are told.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, mock } from 'node:test';
import { listenHttp } from '../../src/accept/http-server.ts';
import type { Listener } from '../../src/accept/listener.ts';
import type { Defect, Transaction } from '../../src/accept/transaction.ts';
import type { Envelope, Recipient, ReversePath } from '../../src/message/envelope.ts';
import { SpoolStore } from '../../src/system/spool.ts';
import { type Reply, reply } from '../../src/wire/reply.ts';
import { eventually } from '../loopback/eventually.ts';
import { HttpClient } from '../loopback/http-client.ts';
import { recordedLog } from '../system/recorded-log.ts';

const directory = mkdtempSync(join(tmpdir(), 'filtermail-http-'));
after(() => rmSync(directory, { recursive: true }));

export const ok = reply(250, '0.0', 'Ok');
export const maxMessageSize = 1_000_000;

/** Of a message that came to the mode. */
export type Judged = Readonly<{ transaction: Transaction; envelope: Envelope; octets: string }>;

export class HttpEntrance {
  /** Decides on a message once it has been read. */
  judge: (judged: Judged) => Reply | Promise<Reply> = () => ok;
  sender: (path: ReversePath) => Reply | null = () => null;
  recipient: (path: Recipient) => Reply | null = () => null;
  digests: () => [] = () => [];
  unusable: (defect: Defect) => void = () => undefined;
  /** All messages in order, those that are being judged too. */
  readonly judged: Judged[] = [];
  readonly refused: string[] = [];
  readonly logged: string[] = [];
  readonly store = new SpoolStore(directory);
  /** What node:http was given as limits. */
  limits: http.ServerOptions = {};
  #listener: Listener | null = null;
  readonly #sockets = new Set<Socket>();

  /** Serves with node:http's limits, of which some may be other ones. */
  static async start(limits: http.ServerOptions = {}): Promise<HttpEntrance> {
    const entrance = new HttpEntrance();
    const { createServer } = http;
    const made = mock.method(http, 'createServer', (options: http.ServerOptions) => {
      entrance.limits = options;
      const server = createServer({ ...options, ...limits });
      return server.on('connection', socket => {
        entrance.#sockets.add(socket);
        socket.on('close', () => entrance.#sockets.delete(socket));
      });
    });
    syncBuiltinESMExports();
    try {
      entrance.#listener = await entrance.#listen();
    } finally {
      made.mock.restore();
      syncBuiltinESMExports();
    }
    return entrance;
  }

  #listen(): Promise<Listener> {
    return listenHttp('127.0.0.1', 0, {
      maxMessageSize,
      label: 'Incoming',
      reception: {
        sender: path => this.sender(path),
        recipient: path => this.recipient(path),
        digests: () => this.digests(),
        unusable: (_envelope, _header, defect) => {
          this.refused.push(defect.detail);
          this.unusable(defect);
        },
        message: transaction => this.#message(transaction),
      },
      store: this.store,
      log: recordedLog(line => void this.logged.push(line)),
      clock: () => performance.now(),
    });
  }

  async #message(transaction: Transaction): Promise<Reply> {
    const octets: Buffer[] = [];
    for await (const batch of transaction.content.read({ release: false })) {
      for (const buffer of batch) octets.push(Buffer.from(buffer));
    }
    const judged = { transaction, envelope: transaction.envelope, octets: Buffer.concat(octets).toString('latin1') };
    this.judged.push(judged);
    return await this.judge(judged);
  }

  get port(): number {
    return this.#listener?.port ?? assert.fail('not started');
  }

  connect(): Promise<HttpClient> {
    return HttpClient.connect(this.port);
  }

  stop(grace: number): Promise<void> {
    return this.#listener?.stop(grace) ?? Promise.resolve();
  }

  errors(): string[] {
    return this.logged.filter(text => text.startsWith('ERROR '));
  }

  /** Waits until so many messages have come to the mode. */
  async hasJudged(count: number): Promise<void> {
    await eventually(() => assert.equal(this.judged.length, count));
  }

  /** No connection is left. */
  async isAlone(withinMs = 5000): Promise<void> {
    await eventually(() => assert.equal(this.#sockets.size, 0, 'connections'), withinMs);
  }

  /** Nothing of any message is left in memory or in a spool file. */
  async holdsNothing(): Promise<void> {
    await eventually(() => assert.equal(this.store.held, 0, 'memory of messages'), 5000);
  }
}

/** A reply that comes when it is told to. */
export class Gate {
  readonly #resolvers = Promise.withResolvers<Reply>();

  get reply(): Promise<Reply> {
    return this.#resolvers.promise;
  }

  open(answer = ok): void {
    this.#resolvers.resolve(answer);
  }
}
