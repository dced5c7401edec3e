/** It took too long; whether it comes about later is not known. */
export class LateError extends Error {
  override readonly name = 'LateError';
}

/**
 * Waits for something, but not for ever: our connection to Redis keeps commands until Redis is back, however long that is.
 *
 * @throws {LateError} after `limitMs`; what was begun goes on.
 */
export async function inTime<T>(work: Promise<T>, limitMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new LateError(`no answer within ${limitMs} ms`)), limitMs);
  });
  return await Promise.race([work, late]).finally(() => clearTimeout(timer));
}
