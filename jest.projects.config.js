import base from './jest.config.js';

/** The packed package in projects of others: installs, bundles, raw BullMQ clients, a generated client (npm run test:projects). */
export default {
  ...base,
  roots: ['<rootDir>/test/projects'],
  testPathIgnorePatterns: ['/node_modules/'],
  globalSetup: '<rootDir>/test/projects/support/pack.mjs',
  // Package managers keep both cores busy already.
  maxWorkers: 2,
  testTimeout: 240_000,
};
