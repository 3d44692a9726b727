/**
 * The envelope (RFC 5321 3.3) as the client gave it. Addresses are octet strings (latin1), exactly what stood between `<` and `>`;
 * only comparisons fold ASCII case. Parameter keywords are upper case, values as sent, `null` where a keyword stood alone.
 */

export type Parameters = ReadonlyMap<string, string | null>;

/** The sender; an empty address is the null reverse-path. */
export type ReversePath = Readonly<{ address: string; parameters: Parameters }>;

export type Recipient = Readonly<{ address: string; parameters: Parameters }>;

/** An XFORWARD attribute (Postfix XFORWARD_README), value as sent. */
export type ForwardedAttribute = Readonly<{ name: string; value: string }>;

export type Envelope = Readonly<{
  from: ReversePath;
  recipients: readonly Recipient[];
  xforward: readonly ForwardedAttribute[];
}>;
