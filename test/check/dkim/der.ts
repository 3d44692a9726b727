/** DER of RSA public keys made of any numbers, which no key generator would give. */

const tlv = (tag: number, ...contents: Buffer[]): Buffer => {
  const content = Buffer.concat(contents);
  const size = Buffer.from(content.length.toString(16).padStart(8, '0'), 'hex');
  const long = size.subarray(size.findIndex(octet => octet > 0));
  const length =
    content.length < 128 ? Buffer.from([content.length]) : Buffer.concat([Buffer.from([0x80 | long.length]), long]);
  return Buffer.concat([Buffer.from([tag]), length, content]);
};

/** Never negative: a leading zero where the highest bit is set. */
const integer = (value: bigint): Buffer => {
  const digits = value.toString(16);
  const octets = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex');
  return tlv(2, (octets[0] ?? 0) > 127 ? Buffer.concat([Buffer.alloc(1), octets]) : octets);
};

export const pkcs1 = (modulus: bigint, exponent: bigint): Buffer => tlv(0x30, integer(modulus), integer(exponent));

const rsaEncryption = Buffer.from('300d06092a864886f70d0101010500', 'hex');

export const rsaSpki = (modulus: bigint, exponent: bigint): Buffer =>
  tlv(0x30, rsaEncryption, tlv(3, Buffer.alloc(1), pkcs1(modulus, exponent)));

/** An odd number of exactly so many bits. */
export const modulus = (bits: number): bigint => (1n << BigInt(bits - 1)) + 0x123456789n;
