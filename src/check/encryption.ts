/**
 * Judges whether a message is end-to-end encrypted: the PGP/MIME structure of RFC 3156 4 around OpenPGP packets (RFC 9580), or one of
 * the requests that must come before there are keys. It is never decrypted.
 */
import { type Header, onlyValue } from '../message/header.ts';
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

/** Null for an encrypted message, else the first reason why it is none, with the detail. */
export function whyUnencrypted(
  evidence: Evidence,
  direction: Direction,
): { reason: Unencrypted; detail: string } | null {
  const { contentType, multipart } = evidence;
  if (contentType?.subtype !== 'encrypted' || multipart === null) {
    const type = contentType === null ? 'malformed Content-Type' : `${contentType.type}/${contentType.subtype}`;
    return { reason: 'top type is not multipart/encrypted', detail: type };
  }
  if (multipart.fault !== null) return { reason: 'malformed multipart', detail: multipart.fault };
  const [version, encrypted, ...more] = multipart.parts;
  if (version === undefined || encrypted === undefined || more.length > 0) {
    return { reason: 'not exactly two parts', detail: `${multipart.parts.length}${more.length > 0 ? ' or more' : ''}` };
  }
  if (!onlyBlanksOutside(multipart, direction)) return { reason: 'text outside the parts', detail: multipart.preamble };
  const { contentType: versionType } = version;
  if (
    versionType?.type !== 'application' ||
    versionType.subtype !== 'pgp-encrypted' ||
    trimmed(version.text) !== 'Version: 1'
  ) {
    return { reason: 'first part is not the version', detail: `${versionType?.type}/${versionType?.subtype}` };
  }
  const { armor } = encrypted;
  if (armor === null || armor.fault !== null) {
    return { reason: 'second part is not an OpenPGP message', detail: armor?.fault ?? 'content type or encoding' };
  }
  if (armor.headers && direction === 'outgoing') return { reason: 'armor headers', detail: '' };
  return null;
}

/**
 * Whether the message is a securejoin request, the only cleartext Delta Chat must send: it asks for the key. Nothing else may be in
 * it.
 */
export function isSecurejoinRequest({ header, multipart }: Evidence): boolean {
  const step = secureJoinStep(header);
  if (step === null || multipart === null || multipart.fault !== null) return false;
  const [part, ...more] = multipart.parts;
  if (part === undefined || more.length > 0 || multipart.preamble !== 'blank' || multipart.epilogue !== 'blank')
    return false;
  const isText = part.contentType?.type === 'text' && part.contentType.subtype === 'plain';
  return isText && /^secure-join: v[cg]-request$/.test(trimmed(part.text)?.toLowerCase() ?? '');
}

function secureJoinStep(header: Header): string | null {
  const step = onlyValue(header, 'secure-join');
  return step === 'vc-request' || step === 'vg-request' ? step : null;
}

function onlyBlanksOutside({ preamble, epilogue }: MultipartEvidence, direction: Direction): boolean {
  return epilogue === 'blank' && (preamble === 'blank' || (preamble === 'short ASCII' && direction === 'incoming'));
}

function trimmed(text: string | null): string | null {
  return text === null ? null : trimBlanks(text);
}
