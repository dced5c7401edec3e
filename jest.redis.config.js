import base from './jest.config.js';

/** Redis as it is run in production, and large numbers: minutes rather than seconds (npm run test:redis). */
export default {
  ...base,
  roots: ['<rootDir>/test/servers'],
  testPathIgnorePatterns: ['/node_modules/'],
  // Each of these has several servers of its own.
  maxWorkers: 1,
  testTimeout: 180_000,
};
