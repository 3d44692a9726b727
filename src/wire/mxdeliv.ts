/**
 * The envelope of a message that comes as an HTTP request, and how an SMTP reply becomes an HTTP answer (`/mxdeliv` of chatmail relays).
 * Header values are octet strings, as node:http gives them.
 */
import type { Envelope, Parameters } from '../message/envelope.ts';
import { isAscii, trimBlanks } from '../message/text.ts';
import { headerTooLarge, maxRecipients, tooManyRecipients } from './limits.ts';
import { isPositive, type Reply, reply } from './reply.ts';

export const senderHeader = 'X-MAIL-FROM';
export const recipientHeader = 'X-MAIL-TO';

/** No more than a command line would hold. */
const maxAddressOctets = 4000;

const badSender = reply(501, '1.7', `Bad address syntax in ${senderHeader}`);
const badRecipient = reply(501, '1.3', `Bad address syntax in ${recipientHeader}`);
const noRecipient = reply(501, '5.4', `No recipient in ${recipientHeader}`);

// An unquoted blank, `<` or `>` could end the address in a command and begin a parameter.
const bareAddress = /^(?:[^\0-\x20\x7f<>"\\]|\\[^\0-\x20\x7f<>]|"(?:[^\0-\x1f\x7f"\\]|\\[^\0-\x1f\x7f])*")+$/;

/** The envelope that the header lines (names and values in turn) give, or why they give none. */
export function readEnvelope(rawHeaders: readonly string[]): { envelope: Envelope } | { refusal: Reply } {
  const senders = valuesOf(rawHeaders, senderHeader);
  const [sender = '', ...moreSenders] = senders.flatMap(splitList);
  if (senders.length > 1 || moreSenders.length > 0 || (sender !== '' && !isBare(sender))) return { refusal: badSender };
  const recipients = valuesOf(rawHeaders, recipientHeader).flatMap(splitList);
  if (recipients.length === 0) return { refusal: noRecipient };
  if (recipients.length > maxRecipients) return { refusal: tooManyRecipients };
  if (!recipients.every(isBare)) return { refusal: badRecipient };
  const needsUtf8 = ![sender, ...recipients].every(isAscii);
  const parameters: Parameters = new Map(needsUtf8 ? [['SMTPUTF8', null]] : []);
  return {
    envelope: {
      from: { address: sender, parameters },
      recipients: recipients.map(address => ({ address, parameters: new Map() })),
      xforward: [],
    },
  };
}

/** Of all headers of that name. */
function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toUpperCase() === name);
}

/** Splits a header value at commas outside quotes (front ends merge repeated headers so); empty elements do not count (RFC 9110 5.6.1). */
function splitList(value: string): string[] {
  const elements: string[] = [];
  let start = 0;
  let inQuotes = false;
  for (let at = 0; at < value.length; at++) {
    const octet = value[at];
    if (octet === '\\') at++;
    else if (octet === '"') inQuotes = !inQuotes;
    else if (octet === ',' && !inQuotes) {
      elements.push(trimBlanks(value.slice(start, at)));
      start = at + 1;
    }
  }
  elements.push(trimBlanks(value.slice(start)));
  return elements.filter(element => element !== '');
}

/** Whether an address can be sent in a header: receivers drop what is not ASCII, and would read some others as two or as another one. */
export function fitsHeader(address: string): boolean {
  const [only = '', ...more] = splitList(address);
  return address === '' || (isAscii(address) && isBare(address) && only === address && more.length === 0);
}

function isBare(address: string): boolean {
  return address.length <= maxAddressOctets && bareAddress.test(address);
}

/**
 * Clients take any 2xx for delivered and try SMTP after everything else. After 413 they do not come back with messages as large, so it is
 * for those that are too large as a whole, whether we or Postfix say so.
 */
export function httpStatus(answer: Reply): number {
  if (isPositive(answer)) return 200;
  return answer.code === 552 && answer.lines[0].startsWith('5.3.4 ') && answer !== headerTooLarge ? 413 : 400;
}
