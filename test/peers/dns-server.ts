/**
 * A DNS server on loopback that answers like the recursive resolver of a relay, or as badly as it is told to. UDP and TCP have the same
 * port. What is published for a name and a type is a list of answers: one a query, the last again and again.
 *
 *     await using dns = await DnsServer.listen();
 *     dns.txt('s._domainkey.a.test', ['v=DKIM1; p=...']);              // one record, cut into strings of 255 octets
 *     dns.txt('b.test', [['two ', 'strings'], 'and another record']);
 *     dns.txt('c.test', 'SERVFAIL', 'silence', ['better late than never']);
 *     dns.txt('d.test', { answer: ['late'], after: gate.promise }, { answer: ['often'], send: twice });
 *     dns.cname('e.test', ['d.test']);
 */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { EventEmitter, once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as passed } from 'node:timers/promises';
import * as packets from 'dns-packet';

export type Content<Datum> = readonly Datum[] | 'NXDOMAIN' | 'NODATA' | 'SERVFAIL' | 'REFUSED';

/** What is sent instead of the one right message. */
export type Delivery = (message: Buffer) => readonly Buffer[];

export type Answer<Datum> =
  | Content<Datum>
  | 'silence'
  /** `after`: milliseconds, or what is awaited. */
  | Readonly<{ answer: Content<Datum>; after?: number | Promise<unknown>; send?: Delivery }>;

/** The strings of a record (latin1), of which longer ones are cut at 255 octets. */
export type Text = string | Buffer | readonly (string | Buffer)[];
export type Exchange = Readonly<{ preference: number; exchange: string }>;

const asItIs: Delivery = message => [message];
export const silence: Delivery = () => [];
export const twice: Delivery = message => [message, message];
export const garbage: Delivery = () => [Buffer.from('garbage')];
/** The right id and question, but the message ends too early. */
export const cutShort: Delivery = message => [message.subarray(0, -5)];
/** Before the right message one that is the same but for some bits of an octet. */
export function spoiltFirst(at: number, bits: number): Delivery {
  return message => {
    const spoilt = Buffer.from(message);
    spoilt.writeUInt8(message.readUInt8(at) ^ bits, at);
    return [spoilt, message];
  };
}
export const wrongIdFirst = spoiltFirst(1, 1);
export const wrongNameFirst = spoiltFirst(13, 1);

type Rdata =
  | { type: 'TXT'; data: Buffer[] }
  | { type: 'MX'; data: Exchange }
  | { type: 'A' | 'AAAA' | 'CNAME'; data: string };

type Plan = Readonly<{ content: Content<Rdata>; after: number | Promise<unknown>; send: Delivery }>;

/** The answers for a name and a type. */
type Published = { readonly plans: readonly Plan[]; given: number };

type Query = Readonly<{ id: number; type: string; name: string; question: Buffer; opt: packets.OptAnswer[] }>;

type Resolved = Readonly<{ rcode: keyof typeof rcodes; records: packets.Answer[]; used: readonly Published[] }>;

const rcodes = { NOERROR: 0, SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 };
const replyFlags = packets.RECURSION_DESIRED | packets.RECURSION_AVAILABLE;
const ttl = 60;
/** Unbound gives up on a longer chain. */
const maxAliases = 11;
const maxMessage = 65_535;
/** What unbound sends by UDP at most, to clients that take that much. */
const maxDatagram = 1232;

export class DnsServer implements AsyncDisposable {
  readonly port: number;
  /** As `filtermail_dns_servers` of chatmail.ini takes it: `127.0.0.1:port`. */
  readonly address: string;
  /**
   * Every question in its order and as it was spelled, `TXT name`, with `\DDD` for octets that are not printable ASCII. One that comes by TCP
   * after a truncated answer counts again.
   */
  readonly questions: string[] = [];
  /** Those of the questions that came by TCP. */
  readonly tcpQuestions: string[] = [];
  /** By lower-case name, then by type. */
  readonly #names = new Map<string, Map<string, Published>>();
  readonly #heard = new EventEmitter<{ question: [] }>();
  readonly #end = new AbortController();
  readonly #connections = new Set<Socket>();
  readonly #udp: DatagramSocket;
  readonly #tcp: Server;

  private constructor(host: string, udp: DatagramSocket, tcp: Server) {
    this.#udp = udp;
    this.#tcp = tcp;
    this.port = udp.address().port;
    this.address = `${host.includes(':') ? `[${host}]` : host}:${this.port}`;
    udp.on('message', (octets, { address, port }) => {
      const query = readQuery(octets);
      if (query === null) return;
      const maxLength = Math.min(maxDatagram, Math.max(512, query.opt[0]?.udpPayloadSize ?? 0));
      void this.#answer(query, maxLength, message => udp.send(message, port, address));
    });
    tcp.on('connection', socket => this.#serve(socket));
  }

  static async listen(host = '127.0.0.1'): Promise<DnsServer> {
    for (;;) {
      const tcp = createServer({ noDelay: true }).listen(0, host);
      await once(tcp, 'listening');
      const udp = createSocket(host.includes(':') ? 'udp6' : 'udp4');
      try {
        udp.bind((tcp.address() as AddressInfo).port, host);
        await once(udp, 'listening');
        return new DnsServer(host, udp, tcp);
      } catch (error) {
        tcp.close();
        udp.close();
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      }
    }
  }

  txt(name: string, ...answers: Answer<Text>[]): void {
    this.#publish('TXT', name, answers, text => ({ type: 'TXT', data: strings(text) }));
  }

  mx(name: string, ...answers: Answer<Exchange>[]): void {
    this.#publish('MX', name, answers, data => ({ type: 'MX', data }));
  }

  a(name: string, ...answers: Answer<string>[]): void {
    this.#publish('A', name, answers, data => ({ type: 'A', data }));
  }

  aaaa(name: string, ...answers: Answer<string>[]): void {
    this.#publish('AAAA', name, answers, data => ({ type: 'AAAA', data }));
  }

  cname(name: string, ...answers: Answer<string>[]): void {
    this.#publish('CNAME', name, answers, data => ({ type: 'CNAME', data }));
  }

  /** Waits until a question, as in `questions`, was asked so many times. */
  async asked(question: string, times = 1): Promise<void> {
    while (this.questions.filter(asked => asked === question).length < times) await once(this.#heard, 'question');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#end.signal.aborted) return;
    this.#end.abort();
    const closed = [once(this.#udp, 'close'), once(this.#tcp, 'close')];
    this.#udp.close();
    this.#tcp.close();
    for (const socket of this.#connections) socket.destroy();
    await Promise.all(closed);
  }

  #publish<Datum>(type: string, name: string, answers: Answer<Datum>[], rdata: (datum: Datum) => Rdata): void {
    const types = this.#names.getOrInsertComputed(zoneKey(name), () => new Map());
    types.set(type, { plans: answers.map(answer => plan(answer, rdata)), given: 0 });
  }

  #serve(socket: Socket): void {
    this.#connections.add(socket);
    socket.on('close', () => this.#connections.delete(socket));
    socket.on('error', () => socket.destroy());
    let pending: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE()) {
        const end = 2 + pending.readUInt16BE();
        const query = readQuery(pending.subarray(2, end));
        pending = pending.subarray(end);
        if (query === null) continue;
        this.tcpQuestions.push(`${query.type} ${query.name}`);
        void this.#answer(query, maxMessage, message => {
          const length = Buffer.from([message.length >> 8, message.length]);
          if (socket.writable) socket.write(Buffer.concat([length, message]));
        });
      }
    });
  }

  async #answer(query: Query, maxLength: number, send: (message: Buffer) => void): Promise<void> {
    this.questions.push(`${query.type} ${query.name}`);
    this.#heard.emit('question');
    const { message, after, deliver } = this.#reply(query, maxLength);
    if (typeof after !== 'number') await after;
    else if (after > 0) await passed(after, null, { signal: this.#end.signal }).catch(() => null);
    if (this.#end.signal.aborted) return;
    for (const part of deliver(message)) send(part);
  }

  #reply(query: Query, maxLength: number) {
    const { rcode, records, used } = this.#resolve(query);
    const plans = used.map(nextPlan);
    const after = plans.find(plan => plan.after !== 0)?.after ?? 0;
    const deliver = plans.find(plan => plan.send !== asItIs)?.send ?? asItIs;
    let message = encodeReply(query, rcodes[rcode], records);
    if (message.length > maxMessage) message = encodeReply(query, rcodes.SERVFAIL, []);
    // The query that then comes again by TCP is to get this very answer.
    if (message.length > maxLength) message = encodeReply(query, packets.TRUNCATED_RESPONSE, []);
    else for (const published of used) published.given++;
    return { message, after, deliver };
  }

  /** Follows aliases, as a resolver does: the chain is part of the answer. */
  #resolve({ type, name }: Query): Resolved {
    const records: packets.Answer[] = [];
    const used: Published[] = [];
    let owner = name;
    for (let aliases = 0; aliases <= maxAliases; aliases++) {
      const types = this.#names.get(zoneKey(owner));
      const published = types?.get(type) ?? types?.get('CNAME');
      if (published === undefined) return { rcode: this.#exists(owner) ? 'NOERROR' : 'NXDOMAIN', records, used };
      used.push(published);
      const { content } = nextPlan(published);
      if (content === 'SERVFAIL' || content === 'REFUSED') return { rcode: content, records: [], used };
      if (typeof content === 'string') return { rcode: content === 'NODATA' ? 'NOERROR' : content, records, used };
      for (const rdata of content) records.push({ ...rdata, name: owner, ttl });
      const [first] = content;
      if (first?.type !== 'CNAME' || type === 'CNAME') return { rcode: 'NOERROR', records, used };
      owner = first.data;
    }
    return { rcode: 'SERVFAIL', records: [], used };
  }

  /** With records of any type, or with a name below it. */
  #exists(name: string): boolean {
    const key = zoneKey(name);
    return this.#names.has(key) || this.#names.keys().some(other => other.endsWith(`.${key}`));
  }
}

function plan<Datum>(answer: Answer<Datum>, rdata: (datum: Datum) => Rdata): Plan {
  if (answer === 'silence') return { content: 'NODATA', after: 0, send: silence };
  if (typeof answer === 'string' || !('answer' in answer)) return plan({ answer }, rdata);
  const { answer: content, after = 0, send = asItIs } = answer;
  return { content: typeof content === 'string' ? content : content.map(rdata), after, send };
}

function nextPlan({ plans, given }: Published): Plan {
  const next = plans[Math.min(given, plans.length - 1)];
  if (next === undefined) throw new Error('published without an answer');
  return next;
}

function zoneKey(name: string): string {
  return name.replace(/\.$/, '').toLowerCase();
}

function strings(text: Text): Buffer[] {
  const parts = typeof text === 'string' || Buffer.isBuffer(text) ? [text] : text;
  const cut = parts.flatMap(part => {
    const octets = typeof part === 'string' ? Buffer.from(part, 'latin1') : part;
    const count = Math.max(1, Math.ceil(octets.length / 255));
    return Array.from({ length: count }, (_, n) => octets.subarray(n * 255, n * 255 + 255));
  });
  const length = cut.reduce((sum, octets) => sum + 1 + octets.length, 0);
  if (length > maxMessage) throw new RangeError(`a record of ${length} octets`);
  return cut;
}

/** Null for what is no query. The question is kept as it came: dns-packet would take the octets of its name for UTF-8. */
function readQuery(message: Buffer): Query | null {
  try {
    const { id = 0, flag_qr, questions = [], additionals = [] } = packets.decode(message);
    const [question] = questions;
    if (flag_qr || question === undefined) return null;
    const opt = additionals.filter(record => record.type === 'OPT');
    const { name, end } = readName(message, 12);
    return { id, type: question.type, name, question: message.subarray(12, end + 4), opt };
  } catch {
    return null;
  }
}

function readName(message: Buffer, start: number): { name: string; end: number } {
  const escaped = (octet: string) => `\\${String(octet.charCodeAt(0)).padStart(3, '0')}`;
  const labels: string[] = [];
  let at = start;
  for (let length = message.readUInt8(at); length > 0; length = message.readUInt8(at)) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length).replace(/[^!-~]|[.\\]/g, escaped));
    at += 1 + length;
  }
  return { name: labels.join('.'), end: at + 1 };
}

function encodeReply({ id, question, opt }: Query, flags: number, answers: packets.Answer[]): Buffer {
  const additionals = opt.map(record => ({ ...record, options: [] }));
  const message = packets.encode({ id, type: 'response', flags: flags | replyFlags, answers, additionals });
  message.writeUInt16BE(1, 4);
  return Buffer.concat([message.subarray(0, 12), question, message.subarray(12)]);
}
