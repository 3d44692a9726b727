/** Limits that every entrance has, and how it refuses what is beyond them. */
import { reply } from './reply.ts';

export const maxRecipients = 1000;

export const tooManyRecipients = reply(452, '5.3', 'Too many recipients');
export const messageTooLarge = reply(552, '3.4', 'Message exceeds maximum size');
export const headerTooLarge = reply(552, '3.4', 'Message header too large');
