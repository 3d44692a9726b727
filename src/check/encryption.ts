/**
 * Judges whether a message is end-to-end encrypted: the PGP/MIME structure of RFC 3156 4 around OpenPGP packets (RFC 9580), or one of
 * the requests that must come before there are keys. It is never decrypted.
 */

import type { ContentType } from '../message/content-type.ts';
import { onlyValue } from '../message/header.ts';
import type { Evidence, MultipartEvidence } from '../message/scanner.ts';
import { trimBlanks } from '../message/text.ts';

export type Direction = 'outgoing' | 'incoming';

/** Why a message does not count as encrypted, for the log. */
export type Unencrypted =
  | 'top type is not multipart/encrypted'
  | 'malformed multipart'
  | 'not exactly two parts'
  | 'text outside the parts'
  | 'first part is not the version'
  | 'second part is not an OpenPGP message'
  | 'armor headers';

/** `detail` says more about some reasons and is empty for others; neither has text of the message. */
export type WhyUnencrypted = Readonly<{ reason: Unencrypted; detail: string }>;

/** Null for an encrypted message, else the first reason why it is none. */
export function whyUnencrypted(evidence: Evidence, direction: Direction): WhyUnencrypted | null {
  const [reason, detail = ''] = findFault(evidence, direction) ?? [];
  return reason === undefined ? null : { reason, detail };
}

/** For the log. */
export function describeUnencrypted({ reason, detail }: WhyUnencrypted): string {
  return detail === '' ? reason : `${reason}: ${detail}`;
}

function findFault({ contentType, multipart }: Evidence, direction: Direction): [Unencrypted, string?] | null {
  if (contentType?.subtype !== 'encrypted' || multipart === null) {
    return ['top type is not multipart/encrypted', contentType === null ? 'unusable Content-Type' : ''];
  }
  if (multipart.fault !== null) return ['malformed multipart', multipart.fault];
  const [version, encrypted, ...more] = multipart.parts;
  if (version === undefined || encrypted === undefined || more.length > 0) {
    return ['not exactly two parts', `${multipart.parts.length}${more.length > 0 ? ' or more' : ''}`];
  }
  if (!onlyBlanksOutside(multipart, direction)) {
    return ['text outside the parts', `preamble ${multipart.preamble}, epilogue ${multipart.epilogue}`];
  }
  if (!isType(version.contentType, 'application', 'pgp-encrypted') || trimBlanks(version.text ?? '') !== 'Version: 1') {
    return ['first part is not the version'];
  }
  const { armor } = encrypted;
  if (armor === null) return ['second part is not an OpenPGP message', 'content type or encoding'];
  if (armor.fault !== null) return ['second part is not an OpenPGP message', armor.fault];
  return armor.headers && direction === 'outgoing' ? ['armor headers'] : null;
}

function isType(contentType: ContentType | null, type: string, subtype: string): boolean {
  return contentType?.type === type && contentType.subtype === subtype;
}

/** Whether the message is a securejoin request: the only cleartext Delta Chat must send, because it asks for the key. */
export function isSecurejoinRequest({ header, multipart }: Evidence): boolean {
  if (!/^v[cg]-request$/.test(onlyValue(header, 'secure-join') ?? '')) return false;
  if (multipart === null || multipart.fault !== null) return false;
  const [part, ...more] = multipart.parts;
  if (part === undefined || more.length > 0 || multipart.preamble !== 'blank' || multipart.epilogue !== 'blank')
    return false;
  const text = trimBlanks(part.text ?? '').toLowerCase();
  return isType(part.contentType, 'text', 'plain') && /^secure-join: v[cg]-request$/.test(text);
}

function onlyBlanksOutside({ preamble, epilogue }: MultipartEvidence, direction: Direction): boolean {
  return epilogue === 'blank' && (preamble === 'blank' || (preamble === 'short ASCII' && direction === 'incoming'));
}
