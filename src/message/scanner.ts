/**
 * Gathers what a message is from its octets while they arrive, in one pass and flat memory: header fields, the parts of a top-level
 * multipart, and whether the second part is an armored OpenPGP message. It judges nothing; `check` does, on the evidence.
 */
import { type Armor, ArmorReader } from './armor.ts';
import { type BodyDigest, BodyDigester, type Canonicalization } from './body-digest.ts';
import { type ContentType, contentTypeOf, transferEncodingOf } from './content-type.ts';
import { type Header, HeaderReader } from './header.ts';
import { isBoundary, type MultipartFault, MultipartReader, type MultipartSink } from './multipart.ts';
import { type TransferDecoder, transferDecoder } from './transfer.ts';

/** What makes a message unusable before anything is judged. */
export type MessageDefect = 'header too large' | 'malformed header';

export type PartEvidence = Readonly<{
  /** Null when the field is repeated or malformed. */
  contentType: ContentType | null;
  /** The decoded content; null when it is longer than 1 KiB or its encoding is malformed or unknown. */
  text: string | null;
  /** Set for the second part of a multipart/encrypted message that is application/octet-stream. */
  armor: Armor | null;
}>;

export type MultipartEvidence = Readonly<{
  fault: MultipartFault | null;
  /** At most 3: nothing that is accepted has more than two. */
  parts: readonly PartEvidence[];
  preamble: Outside;
  epilogue: Outside;
}>;

/** Text outside the parts: only blank lines; ASCII and at most 256 octets; anything else. */
export type Outside = 'blank' | 'short ASCII' | 'other';

export type Evidence = Readonly<{
  defect: MessageDefect | null;
  header: Header;
  /** Null when the field is repeated or malformed. */
  contentType: ContentType | null;
  /** Null when the top type is not multipart. */
  multipart: MultipartEvidence | null;
  /** Of the body, in the forms that were asked for. */
  digests: ReadonlyMap<Canonicalization, BodyDigest>;
}>;

/** The body digests that a message with this header needs; asked once, when the header is complete. */
export type DigestWish = (header: Header) => readonly Canonicalization[];

const maxParts = 3;
const maxPartText = 1024;
const maxOutsideText = 256;

export class MessageScanner {
  readonly #wish: DigestWish;
  readonly #digesters = new Map<Canonicalization, BodyDigester>();
  #headerReader: HeaderReader | null = new HeaderReader();
  #header: Header = [];
  #defect: MessageDefect | null = null;
  #contentType: ContentType | null = null;
  #multipart: MultipartScanner | null = null;

  constructor(wish: DigestWish = () => []) {
    this.#wish = wish;
  }

  /** The fields; none before the header is complete. */
  get header(): Header {
    return this.#header;
  }

  /** Takes the next octets of the message, dots unescaped, as octet string. */
  feed(text: string): void {
    if (this.#headerReader === null) {
      this.#body(text, 0);
      return;
    }
    const end = this.#headerReader.feed(text, 0);
    if (end === 'oversize') {
      this.#defect = 'header too large';
      this.#headerReader = null;
    } else if (end >= 0) {
      this.#headerEnds(this.#headerReader);
      if (end < text.length) this.#body(text, end);
    }
  }

  #body(text: string, from: number): void {
    this.#multipart?.feed(text, from);
    for (const digester of this.#digesters.values()) digester.feed(from === 0 ? text : text.slice(from));
  }

  end(): Evidence {
    if (this.#headerReader !== null) this.#headerEnds(this.#headerReader);
    const multipart = this.#multipart?.end() ?? null;
    return {
      defect: multipart?.fault === 'part header too large' ? 'header too large' : this.#defect,
      header: this.#header,
      contentType: this.#contentType,
      multipart,
      digests: new Map([...this.#digesters].map(([form, digester]) => [form, digester.end()])),
    };
  }

  #headerEnds(reader: HeaderReader): void {
    this.#headerReader = null;
    const fields = reader.fields();
    if (fields === 'oversize') this.#defect = 'header too large';
    else if (fields === 'malformed') this.#defect = 'malformed header';
    else {
      this.#header = fields;
      this.#contentType = contentTypeOf(fields);
      if (this.#contentType?.type === 'multipart') this.#multipart = new MultipartScanner(this.#contentType, fields);
      for (const form of this.#wish(fields)) this.#digesters.set(form, new BodyDigester(form));
    }
  }
}

class MultipartScanner implements MultipartSink {
  readonly #encrypted: boolean;
  #reader: MultipartReader | null = null;
  #fault: MultipartFault | null = null;
  readonly #parts: PartEvidence[] = [];
  readonly #outside = { preamble: new OutsideText(), epilogue: new OutsideText() };
  #part: PartScanner | null = null;

  constructor({ subtype, boundary }: ContentType, header: Header) {
    this.#encrypted = subtype === 'encrypted';
    // A reader that undoes an encoding of the whole, which RFC 2045 6.4 forbids, would find other parts.
    if (transferEncodingOf(header) !== 'identity') this.#fault = 'transfer encoding';
    else if (isBoundary(boundary)) this.#reader = new MultipartReader(boundary, this);
    else this.#fault = 'boundary';
  }

  feed(text: string, from: number): void {
    this.#reader?.feed(text, from);
  }

  outside(where: 'preamble' | 'epilogue', text: string): void {
    this.#outside[where].feed(text);
  }

  partBegins(header: Header): void {
    const wantsArmor = this.#encrypted && this.#parts.length === 1;
    this.#part = this.#parts.length < maxParts ? new PartScanner(header, wantsArmor) : null;
  }

  body(text: string): void {
    this.#part?.feed(text);
  }

  partEnds(): void {
    if (this.#part !== null) this.#parts.push(this.#part.end());
  }

  end(): MultipartEvidence {
    this.#reader?.end();
    return {
      fault: this.#fault ?? this.#reader?.fault ?? null,
      parts: this.#parts,
      preamble: this.#outside.preamble.kind,
      epilogue: this.#outside.epilogue.kind,
    };
  }
}

class OutsideText {
  #octets = 0;
  #blank = true;
  #ascii = true;

  feed(text: string): void {
    this.#octets += text.length;
    if (this.#blank && /[^ \t\r\n]/.test(text)) this.#blank = false;
    if (this.#octets <= maxOutsideText && /[^\t\r\n\x20-\x7e]/.test(text)) this.#ascii = false;
  }

  get kind(): Outside {
    if (this.#blank) return 'blank';
    return this.#ascii && this.#octets <= maxOutsideText ? 'short ASCII' : 'other';
  }
}

class PartScanner {
  readonly #contentType: ContentType | null;
  readonly #armor: ArmorReader | null;
  #decoder: TransferDecoder | null = null;
  #text: string | null = null;

  constructor(header: Header, wantsArmor: boolean) {
    this.#contentType = contentTypeOf(header);
    const { type, subtype } = this.#contentType ?? { type: '', subtype: '' };
    const armor = wantsArmor && type === 'application' && subtype === 'octet-stream' ? new ArmorReader() : null;
    this.#armor = armor;
    const encoding = transferEncodingOf(header);
    if (encoding === null || type === 'multipart') return;
    if (armor === null) this.#text = '';
    this.#decoder = transferDecoder(encoding, armor === null ? text => this.#collect(text) : text => armor.feed(text));
  }

  feed(text: string): void {
    if (this.#decoder !== null && !this.#decoder.feed(text)) this.#undecodable();
  }

  end(): PartEvidence {
    if (this.#decoder !== null && !this.#decoder.end()) this.#undecodable();
    const armor = this.#decoder === null ? null : (this.#armor?.end() ?? null);
    return { contentType: this.#contentType, text: this.#text, armor };
  }

  #collect(text: string): void {
    if (this.#text === null || this.#text.length + text.length > maxPartText) {
      this.#text = null;
      this.#decoder = null;
    } else this.#text += text;
  }

  #undecodable(): void {
    this.#decoder = null;
    this.#text = null;
  }
}
