import * as z from 'zod';
import { DURATION_FORM, parseDuration } from '../lib/duration.js';

// Each schema turns the text of one variable into its value; its message says what is allowed.
export const duration = (fallback: string, { min = 0, max = Number.POSITIVE_INFINITY, allowed = DURATION_FORM } = {}) =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const milliseconds = parseDuration(text);
      if (milliseconds === undefined || milliseconds < min || milliseconds > max) {
        context.addIssue({ code: 'custom', message: `a duration is allowed: ${allowed}` });
        return z.NEVER;
      }
      return milliseconds;
    });

export const number = (fallback: string, allowed: string, accepts: (value: number) => boolean) =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
      if (!accepts(value)) {
        context.addIssue({ code: 'custom', message: `expected ${allowed}` });
        return z.NEVER;
      }
      return value;
    });

export const integer = (fallback: string, min: number, max: number) =>
  number(fallback, `a whole number from ${min} to ${max}`, (n) => Number.isInteger(n) && n >= min && n <= max);

export const flag = z
  .enum(['true', 'false'], { error: 'expected true or false' })
  .default('false')
  .transform((text) => text === 'true');

export const url = (allowed: string, accepts: (url: URL) => boolean) =>
  z.string().refine((text) => URL.canParse(text) && accepts(new URL(text)), { error: `expected ${allowed}` });

/** A URL that paths are put after. The text is looked at, since `new URL` forgives blanks and an empty query. */
export const baseUrl = (allowed: string, accepts: (url: URL) => boolean = () => true) =>
  url(allowed, accepts).regex(/^https?:[^\s?#@]+$/i, { error: `expected ${allowed}` });

export const headerText = z
  .string()
  .regex(/^[\x21-\x7e]+$/, { error: 'expected printable ASCII characters without spaces (it becomes a header)' });

export const redisKey = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .refine((text) => /^[\x21-\x7e]{1,128}$/.test(text), {
      error: 'expected 1 to 128 printable ASCII characters without spaces',
    });

export const addresses = z
  .string()
  .transform((text, context) => {
    const found = text
      .split(',')
      .map((address) => /^\s*(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(\d{1,5})\s*$/.exec(address));
    const parsed = found.map((match) => ({ host: match?.[1]?.replace(/[[\]]/g, '') ?? '', port: Number(match?.[2]) }));
    if (parsed.some(({ port }) => !(port >= 1 && port <= 65_535))) {
      context.addIssue({ code: 'custom', message: 'expected host:port,host:port …' });
      return z.NEVER;
    }
    return parsed;
  })
  .optional();
