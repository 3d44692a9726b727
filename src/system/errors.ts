/** What was thrown, in words; foreign text, so a log quotes it. */
import { getSystemErrorMessage } from 'node:util';

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** The code of a system error, such as `ENOENT`; null where there is none. */
export function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}

/** A system error in words for an admin, without the path that was used inside: `connection refused (ECONNREFUSED)`. */
export function causeOf(error: unknown): string {
  const errno = error instanceof Error && 'errno' in error ? error.errno : undefined;
  return typeof errno === 'number' ? `${getSystemErrorMessage(errno)} (${codeOf(error)})` : messageOf(error);
}
