// JSON-RPC 2.0 with a child process over its pipes, one object a line, and waiting for the events that it reports.

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Writable } from 'node:stream';

export class RpcError extends Error {
  override name = 'RpcError';
  readonly code: number;

  constructor(method: string, code: number, message: string) {
    super(`${method}: ${message}`);
    this.code = code;
  }
}

interface Response {
  id: number;
  result?: unknown;
  error?: { code: number; message: string };
}

interface Pending extends PromiseWithResolvers<unknown> {
  method: string;
}

export class JsonRpc {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #input: Writable;
  readonly #closed: Promise<unknown>;
  readonly #pending = new Map<number, Pending>();
  #calls = 0;
  #complaint = '';
  #end: Error | undefined;

  /** The name is for messages. */
  constructor(name: string, child: ChildProcess) {
    const { stdin, stdout, stderr } = child;
    assert.ok(stdin && stdout && stderr, `${name}: no pipes`);
    this.#name = name;
    this.#child = child;
    this.#input = stdin;
    // What a dead process does not read is no error of its own: 'close' tells.
    stdin.on('error', () => undefined);
    // A panic is written there; of a long story its end is enough.
    stderr.setEncoding('utf8').on('data', text => {
      this.#complaint = (this.#complaint + text).slice(-4000);
    });
    createInterface({ input: stdout, crlfDelay: Number.POSITIVE_INFINITY }).on('line', line => this.#take(line));
    child.on('error', error => this.#fail(error.message));
    this.#closed = once(child, 'close').then(
      ([status, signal]) => this.#fail(`ended with ${signal ?? status}`),
      () => undefined,
    );
  }

  call(method: string, ...params: readonly unknown[]): Promise<unknown> {
    if (this.#end) return Promise.reject(this.#end);
    const id = ++this.#calls;
    const pending = { method, ...Promise.withResolvers<unknown>() };
    this.#pending.set(id, pending);
    this.#input.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
    return pending.promise;
  }

  /** Ends the process, which has to end by itself when its input does. */
  async stop(): Promise<void> {
    this.#input.end();
    const hurry = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    await this.#closed;
    clearTimeout(hurry);
    const { exitCode, signalCode } = this.#child;
    assert.equal(signalCode ?? exitCode, 0, `${this.#name}: how it ended\n${this.#complaint}`);
  }

  #take(line: string): void {
    const { id, result, error } = JSON.parse(line) as Response;
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (!pending) return;
    if (error) pending.reject(new RpcError(pending.method, error.code, error.message));
    else pending.resolve(result);
  }

  #fail(reason: string): void {
    this.#end ??= new Error(`${this.#name} ${reason}${this.#complaint && `\n${this.#complaint}`}`);
    for (const { reject } of this.#pending.values()) reject(this.#end);
    this.#pending.clear();
  }
}

/** What else there is depends on the kind. */
export type Event = Readonly<{ kind: string; [more: string]: unknown }>;

export type Looked<Found> = Found | undefined | Promise<Found | undefined>;

/** They only tell an app to draw something anew. */
const forDisplay = /^(ConnectivityChanged|Chatlist.*|NewBlobFile)$/;

/** All else that was reported, so that a test can wait for an event instead of a time. */
export class Events {
  readonly #all: Event[] = [];
  #next = Promise.withResolvers<void>();

  take(event: Event): void {
    if (forDisplay.test(event.kind)) return;
    this.#all.push(event);
    // A log of hundreds of lines, of which none is what anybody waits for.
    if (event.kind === 'Info') return;
    const { resolve } = this.#next;
    this.#next = Promise.withResolvers();
    resolve();
  }

  /** There will be no further ones. */
  end(error: Error): void {
    this.#next.promise.catch(() => undefined);
    this.#next.reject(error);
  }

  /** A position to give to `since`. */
  get mark(): number {
    return this.#all.length;
  }

  since(mark: number): Event[] {
    return this.#all.slice(mark);
  }

  /** Looks at once and again after each event, until there is something. */
  async until<Found>(look: () => Looked<Found>, complaint: string, seconds: number): Promise<Found> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      const last = this.#all.slice(-40).map(({ kind, ...more }) => `${kind} ${JSON.stringify(more)}`.slice(0, 400));
      late.reject(new Error(`${complaint} within ${seconds} s; the last events:\n${last.join('\n')}`));
    }, seconds * 1000);
    try {
      for (;;) {
        const next = this.#next.promise;
        const found = await Promise.race([look(), late.promise]);
        if (found !== undefined) return found;
        await Promise.race([next, late.promise]);
      }
    } finally {
      clearTimeout(timer);
    }
  }
}
