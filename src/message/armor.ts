/**
 * One ASCII-armored OpenPGP message (RFC 9580 6.2) and nothing around it, checked while it arrives: the BEGIN line first, armor
 * headers, a blank line, strict base64 of encrypted packets, at most a CRC24 line, the END line last. The CRC's value is not
 * checked (RFC 9580 6.1). Lines end in CRLF or, when a transfer encoding hid them, in LF.
 */
import { Base64Reader } from './base64.ts';
import { type PacketFault, PacketWalker } from './packets.ts';

export type ArmorFault = PacketFault | 'no BEGIN line' | 'armor header' | 'base64' | 'armor tail';

export type Armor = Readonly<{
  /** Null for an encrypted message. */
  fault: ArmorFault | null;
  /** Whether armor headers (`Version:`, `Comment:` …) stood before the data. */
  headers: boolean;
}>;

const beginLine = '-----BEGIN PGP MESSAGE-----';
const armorHeader = /^[A-Za-z][A-Za-z0-9-]*:(?: [^\x00-\x08\x0a-\x1f\x7f]*)?$/;
// What may stand behind the base64 data: behind a whole quantum, on a line of its own, or behind padding.
const ending = String.raw`(?:=[A-Za-z0-9+/]{4}\r?\n)?-----END PGP MESSAGE-----[\r\n]*$`;
const tailAfterQuantum = new RegExp(`^()${ending}`);
const tailWithPadding = new RegExp(`^(={1,2})\\r?\\n${ending}`);
const maxOpeningOctets = 8192;
const maxTailOctets = 128;

export class ArmorReader {
  #state: 'begin' | 'headers' | 'data' | 'tail' = 'begin';
  #fault: ArmorFault | null = null;
  #headers = false;
  #line = '';
  #openingOctets = 0;
  /** The octet before the next one is a line end: only there may the CRC or END line begin. */
  #lineStart = true;
  #tail = '';
  readonly #packets = new PacketWalker();
  readonly #base64 = new Base64Reader(octets => this.#packets.feed(octets));

  feed(text: string): void {
    let at = 0;
    while (at < text.length && this.#fault === null) {
      if (this.#state === 'data') at = this.#data(text, at);
      else if (this.#state === 'tail') at = this.#moreTail(text, at);
      else at = this.#opening(text, at);
    }
  }

  end(): Armor {
    if (this.#fault === null) this.#close();
    return { fault: this.#fault, headers: this.#headers };
  }

  #opening(text: string, from: number): number {
    const lf = text.indexOf('\n', from);
    const end = lf < 0 ? text.length : lf + 1;
    this.#openingOctets += end - from;
    if (this.#openingOctets > maxOpeningOctets) {
      this.#fault = this.#state === 'begin' ? 'no BEGIN line' : 'armor header';
      return end;
    }
    this.#line += text.slice(from, end);
    if (lf < 0) return end;
    const line = this.#line.replace(/\r?\n$/, '');
    this.#line = '';
    if (this.#state === 'begin') {
      if (line === beginLine) this.#state = 'headers';
      else this.#fault = 'no BEGIN line';
    } else if (/^[ \t]*$/.test(line)) this.#state = 'data';
    else if (armorHeader.test(line)) this.#headers = true;
    else this.#fault = 'armor header';
    return end;
  }

  /** Base64 up to the first octet that cannot belong to it: padding, the CRC line or the END line begin there. */
  #data(text: string, from: number): number {
    const equals = text.indexOf('=', from);
    const dash = text.indexOf('-', from);
    const stop = equals < 0 ? dash : dash < 0 ? equals : Math.min(equals, dash);
    const end = stop < 0 ? text.length : stop;
    if (end > from) {
      // A packet's fault is told at the end: a chunk with bad base64 is not decoded, so which came first would depend on the chunks.
      if (!this.#base64.feed(from === 0 && end === text.length ? text : text.slice(from, end))) this.#fault = 'base64';
      this.#lineStart = text[end - 1] === '\n';
    }
    if (stop >= 0) this.#state = 'tail';
    return end;
  }

  #moreTail(text: string, from: number): number {
    const end = Math.min(text.length, from + maxTailOctets - this.#tail.length);
    this.#tail += text.slice(from, end);
    if (/[^\r\n]/.test(text.slice(end))) this.#fault = 'armor tail';
    return text.length;
  }

  #close(): void {
    if (this.#state !== 'tail') {
      this.#fault = this.#state === 'begin' ? 'no BEGIN line' : 'armor tail';
      return;
    }
    const padding = (this.#base64.whole ? tailAfterQuantum : tailWithPadding).exec(this.#tail)?.[1];
    if (padding === undefined || (padding === '' && !this.#lineStart)) this.#fault = 'armor tail';
    else if (!this.#base64.finish(padding)) this.#fault = 'base64';
    else {
      this.#packets.end();
      this.#fault = this.#packets.fault;
    }
  }
}
