import { createRequire } from 'node:module';

/** The version of this package; it is asked for by name, since what is built lies in more than one place. */
export const { version: VERSION } = createRequire(import.meta.url)('cfw-job-poller/package.json') as {
  version: string;
};
