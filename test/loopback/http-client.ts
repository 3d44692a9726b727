// A raw HTTP client: it writes the octets it is given and reads answers, or does not.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { undoAtEnd } from './tidy.ts';

export type Answer = Readonly<{
  status: number;
  /** Names in lower case. */
  headers: ReadonlyMap<string, string>;
  body: string;
}>;

/** The author's domain is an address literal, so that no signature is needed. */
export const author = 'mallory@[192.0.2.7]';
export const vic = 'vic@one.test';

export type Head = Readonly<{
  method?: string;
  path?: string;
  version?: '1.0' | '1.1';
  /** Null for no such header. */
  from?: string | null;
  to?: readonly string[];
  /** Further header lines. */
  lines?: readonly string[];
}>;

export function head(options: Head = {}): Buffer {
  const { method = 'POST', path = '/mxdeliv', version = '1.1', from = author, to = [vic], lines = [] } = options;
  const all = [
    `${method} ${path} HTTP/${version}`,
    'Host: one.test',
    ...(from === null ? [] : [`X-MAIL-FROM: ${from}`]),
    ...to.map(address => `X-MAIL-TO: ${address}`),
    ...lines,
  ];
  return Buffer.from(`${all.join('\r\n')}\r\n\r\n`, 'latin1');
}

/** A request whose body is counted. */
export function counted(body: Buffer, options: Head = {}): Buffer {
  return Buffer.concat([countedHead(body.length, options), body]);
}

export function countedHead(length: number, options: Head = {}): Buffer {
  return head({ ...options, lines: [...(options.lines ?? []), `Content-Length: ${length}`] });
}

/** A request whose body comes in these chunks. */
export function chunked(chunks: readonly Buffer[], options: Head = {}): Buffer {
  return Buffer.concat([
    chunkedHead(options),
    ...chunks.filter(({ length }) => length > 0).map(chunk),
    Buffer.from('0\r\n\r\n'),
  ]);
}

export function chunkedHead(options: Head = {}): Buffer {
  return head({ ...options, lines: [...(options.lines ?? []), 'Transfer-Encoding: chunked'] });
}

export function chunk(octets: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${octets.length.toString(16)}\r\n`), octets, Buffer.from('\r\n')]);
}

/** A message of a few octets that anyone can read. */
export function short(text = 'hi'): Buffer {
  return Buffer.from(`From: ${author}\r\n\r\n${text}\r\n`, 'latin1');
}

const patience = 20_000;

export class HttpClient {
  readonly socket: Socket;
  /** Resolves when the server ends the connection or resets it. */
  readonly over: Promise<void>;
  /** Resolves when the connection is gone in both directions. */
  readonly closed: Promise<void>;
  /** Why the connection broke: `ECONNRESET`. */
  broken: string | null = null;
  #text = '';
  #isOver = false;
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', octets => {
      this.#text += octets.toString('latin1');
      this.#wake();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.broken = error.code ?? error.message;
      socket.destroy();
    });
    const forget = undoAtEnd(() => socket.destroy());
    this.over = new Promise(resolve => {
      const over = () => {
        this.#isOver = true;
        this.#wake();
        resolve();
      };
      socket.once('end', over);
      socket.once('close', over);
    });
    this.closed = new Promise(resolve => {
      socket.once('close', () => {
        forget();
        resolve();
      });
    });
  }

  static async connect(port: number, host = '127.0.0.1'): Promise<HttpClient> {
    const socket = connect({ port, host, noDelay: true, allowHalfOpen: true });
    const client = new HttpClient(socket);
    await once(socket, 'connect');
    return client;
  }

  /** What has come and was not read as an answer. */
  get unread(): string {
    return this.#text;
  }

  /** Resolves when the octets are in the kernel's hands, or the connection is gone. */
  write(octets: Buffer | string): Promise<void> {
    return new Promise(resolve => this.socket.write(octets, () => resolve()));
  }

  /** The next answer; null when the connection ends before one. */
  async answer({ bodiless = false, withinMs = patience } = {}): Promise<Answer | null> {
    const late = performance.now() + withinMs;
    for (;;) {
      const answer = this.#next(bodiless);
      if (answer !== null) return answer;
      if (this.#isOver) {
        assert.equal(this.#text, '', 'no part of an answer before the end of the connection');
        return null;
      }
      const left = late - performance.now();
      assert.ok(left > 0, `no answer within ${withinMs} ms, only ${JSON.stringify(this.#text.slice(0, 300))}`);
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Status and body of the next answer. */
  async outcome(): Promise<[status: number, body: string] | null> {
    const answer = await this.answer();
    return answer && [answer.status, answer.body];
  }

  /** One request, one answer. */
  async ask(request: Buffer | string): Promise<[status: number, body: string] | null> {
    void this.write(request);
    return await this.outcome();
  }

  #next(bodiless: boolean): Answer | null {
    const end = this.#text.indexOf('\r\n\r\n');
    if (end < 0) return null;
    const [first = '', ...lines] = this.#text.slice(0, end).split('\r\n');
    const [, code] = /^HTTP\/1\.1 (\d{3}) /.exec(first) ?? [];
    assert.ok(code !== undefined, first);
    const status = Number(code);
    const headers = new Map(
      lines.map(line => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const start = end + 4;
    if (headers.get('transfer-encoding') === 'chunked') return this.#emptyChunked(status, headers, start);
    const length = bodiless || status < 200 ? 0 : Number(headers.get('content-length') ?? 0);
    if (this.#text.length < start + length) return null;
    const body = this.#text.slice(start, start + length);
    this.#text = this.#text.slice(start + length);
    return { status, headers, body };
  }

  /** As node:http itself answers, without a body. */
  #emptyChunked(status: number, headers: Answer['headers'], start: number): Answer | null {
    const body = '0\r\n\r\n';
    if (this.#text.length < start + body.length) return null;
    assert.equal(this.#text.slice(start, start + body.length), body);
    this.#text = this.#text.slice(start + body.length);
    return { status, headers, body: '' };
  }

  /** Says no more; reads on. */
  end(): void {
    this.socket.end();
  }

  /** Ends the connection with a reset. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  /** Ends it in order once the server has nothing more to say. */
  async leave(): Promise<void> {
    this.socket.end();
    await this.closed;
  }
}

/** One request over a connection of its own. */
export async function askOnce(port: number, request: Buffer | string): Promise<[status: number, body: string] | null> {
  const client = await HttpClient.connect(port);
  const outcome = await client.ask(request);
  await client.leave();
  return outcome;
}
