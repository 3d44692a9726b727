/** Which unencrypted mail may leave all the same. */
import { foldCase, isPlainAddress, sameAddress } from '../message/address.ts';
import type { Envelope } from '../message/envelope.ts';
import { onlyValue } from '../message/header.ts';
import type { Evidence } from '../message/scanner.ts';

/** Addresses in lower case; recipients also as `@domain`, which means exactly that domain. */
export type Passthrough = Readonly<{ senders: readonly string[]; recipients: readonly string[] }>;

export function isExempt(envelope: Envelope, evidence: Evidence, passthrough: Passthrough): boolean {
  return isPassthrough(envelope, passthrough) || isSetupMessageToSelf(envelope, evidence);
}

function isPassthrough({ from, recipients }: Envelope, passthrough: Passthrough): boolean {
  const sender = foldCase(from.address);
  if (passthrough.senders.includes(sender) && isPlainAddress(sender)) return true;
  return (
    recipients.length > 0 &&
    recipients.every(({ address }) => {
      const folded = foldCase(address);
      const domain = folded.slice(folded.lastIndexOf('@'));
      return (
        isPlainAddress(folded) && (passthrough.recipients.includes(folded) || passthrough.recipients.includes(domain))
      );
    })
  );
}

/** An Autocrypt Setup Message (Autocrypt Level 1, 4.4): the user's own key, encrypted with a code, to the user's own other device. */
function isSetupMessageToSelf({ from, recipients }: Envelope, { header, contentType }: Evidence): boolean {
  const [recipient, ...more] = recipients;
  return (
    recipient !== undefined &&
    more.length === 0 &&
    sameAddress(recipient.address, from.address) &&
    contentType?.type === 'multipart' &&
    contentType.subtype === 'mixed' &&
    onlyValue(header, 'subject') === 'Autocrypt Setup Message'
  );
}
