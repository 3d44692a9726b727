/**
 * Walks OpenPGP packets (RFC 9580 4.2) without looking into them: any number of PKESK and SKESK, then exactly one SEIPD that ends
 * with the data. Nothing is stored but a length.
 */

export type PacketFault =
  | 'no packet header'
  | 'packet type'
  | 'packet length'
  | 'octets after the encrypted data'
  | 'no encrypted data';

const pkesk = 1;
const skesk = 3;
const seipd = 18;
const minFirstPartial = 512;

type State = 'header' | 'length' | 'body' | 'finished';

export class PacketWalker {
  fault: PacketFault | null = null;
  #state: State = 'header';
  #tag = 0;
  /** Length octets that are still to come and the value of those read. */
  #lengthOctets = 0;
  #length = 0;
  #oldFormat = false;
  #lengthBegun = false;
  #partial = false;
  #firstChunk = true;

  feed(octets: Uint8Array): void {
    let at = 0;
    while (at < octets.length && this.fault === null) {
      if (this.#state === 'body') {
        const skipped = Math.min(this.#length, octets.length - at);
        this.#length -= skipped;
        at += skipped;
        if (this.#length === 0) this.#chunkEnded();
        continue;
      }
      const octet = octets[at++] ?? 0;
      if (this.#state === 'header') this.#header(octet);
      else if (this.#state === 'length') this.#lengthOctet(octet);
      else this.fault = 'octets after the encrypted data';
    }
  }

  /** Tells the end of the data. */
  end(): void {
    if (this.fault === null && this.#state !== 'finished') {
      this.fault = this.#state === 'header' ? 'no encrypted data' : 'packet length';
    }
  }

  #header(octet: number): void {
    this.#oldFormat = (octet & 0x40) === 0;
    this.#tag = this.#oldFormat ? (octet >> 2) & 0x0f : octet & 0x3f;
    this.#firstChunk = true;
    this.#partial = false;
    if ((octet & 0x80) === 0) this.fault = 'no packet header';
    else if (this.#tag !== pkesk && this.#tag !== skesk && (this.#tag !== seipd || this.#oldFormat))
      this.fault = 'packet type';
    else if (this.#oldFormat && (octet & 3) === 3) this.fault = 'packet length';
    else this.#expectLength(this.#oldFormat ? 1 << (octet & 3) : 1);
  }

  #expectLength(octets: number): void {
    this.#state = 'length';
    this.#lengthOctets = octets;
    this.#length = 0;
    this.#lengthBegun = this.#oldFormat;
  }

  #lengthOctet(octet: number): void {
    if (!this.#lengthBegun) {
      this.#lengthBegun = true;
      this.#newFormatLength(octet);
      return;
    }
    this.#length = this.#length * 256 + octet;
    if (--this.#lengthOctets === 0) this.#bodyBegins();
  }

  /** The first length octet of the new format (RFC 9580 4.2.1). */
  #newFormatLength(octet: number): void {
    if (octet < 192) {
      this.#length = octet;
      this.#partial = false;
      this.#bodyBegins();
    } else if (octet < 224) {
      // The value is ((octet - 192) << 8) + next + 192; the 192 is put where the next octet's carry adds it.
      this.#length = octet - 192 + 192 / 256;
      this.#partial = false;
      this.#lengthOctets = 1;
    } else if (octet === 255) {
      this.#length = 0;
      this.#partial = false;
      this.#lengthOctets = 4;
    } else {
      this.#length = 2 ** (octet & 0x1f);
      if (this.#tag !== seipd || (this.#firstChunk && this.#length < minFirstPartial)) {
        this.fault = 'packet length';
        return;
      }
      this.#partial = true;
      this.#bodyBegins();
    }
  }

  #bodyBegins(): void {
    this.#firstChunk = false;
    this.#state = 'body';
    if (this.#length === 0) this.#chunkEnded();
  }

  #chunkEnded(): void {
    if (this.#partial) this.#expectLength(1);
    else this.#state = this.#tag === seipd ? 'finished' : 'header';
  }
}
