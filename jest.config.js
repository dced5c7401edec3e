export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  // Slow: npm run test:redis, npm run test:projects.
  testPathIgnorePatterns: ['/node_modules/', '/test/servers/', '/test/projects/'],
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2023' },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  // Most tests wait for something; more of them than cores keeps the cores busy.
  maxWorkers: 4,
  setupFiles: ['<rootDir>/test/support/realms.mjs'],
  setupFilesAfterEnv: ['<rootDir>/test/support/retry.mjs'],
  // Machines of CI can be very slow; what fails is told by its own message before this.
  testTimeout: 90_000,
};
