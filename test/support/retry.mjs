import { jest } from '@jest/globals';

// A machine of CI can stall for seconds. A test that fails is tried once more there, and its first failure is printed: one that
// needs this has a race of its own, which is to be found.
if (process.env.CI) jest.retryTimes(1, { logErrorsBeforeRetry: true });
