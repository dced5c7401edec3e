import { afterEach } from '@jest/globals';
import { Queue } from 'bullmq';
import { type Config, loadConfig } from '../../src/config/index.js';
import { createLogger } from '../../src/ops/logger.js';
import { type Sidecar, startSidecar } from '../../src/sidecar.js';
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/index.js';
import { Command } from './command.js';
import type { TestRedis } from './redis.js';
import { endAll } from './steps.js';

export const PROJECT = '09bb24e6fe80d23d2fa2c010b53b418c';

/** What the sidecar needs besides Redis. It polls quickly, so that tests need not wait; everything else is as users have it. */
export function cfwEnvironment(simulator: Simulator): Record<string, string> {
  return {
    CFW_ENDPOINT: simulator.url,
    CFW_AUTH_TOKEN: simulator.token,
    CFW_PROJECT_ID: PROJECT,
    // No call fails by itself where the machine stalls: it would be one poll more, with an error of its own.
    CFW_REQUEST_TIMEOUT: '10s',
    POLL_INITIAL_DELAY: '100ms',
    POLL_MAX_DELAY: '500ms',
    HTTP_PORT: '0',
  };
}

/** What the sidecar needs. */
export function environment(redis: TestRedis, simulator: Simulator): Record<string, string> {
  return { ...cfwEnvironment(simulator), REDIS_URL: redis.url };
}

/** Starts things and stops them after each test, newest first. */
export function useCleanUp() {
  const steps: (() => unknown)[] = [];
  afterEach(() => endAll(steps));
  return {
    onEnd: (step: () => unknown) => steps.push(step),
    /** Its jobs fail by script only: one in ten drawn ones would. */
    simulator: async (options: SimulatorOptions = {}): Promise<Simulator> => {
      const simulator = await startSimulator({ failureShare: 0, ...options });
      steps.push(() => simulator.stop());
      return simulator;
    },
    /** A sidecar in this process; `log` takes its lines. */
    sidecar: async (env: Record<string, string>, log: string[] = []): Promise<Sidecar> => {
      const config: Config = loadConfig(env);
      const sidecar = await startSidecar(
        config,
        createLogger(config.logLevel, {
          write: (line) => {
            log.push(line);
          },
        }),
      );
      steps.push(() => sidecar.stop());
      return sidecar;
    },
    /** The built command as a process of its own. */
    command: (args: readonly string[], env: Record<string, string>): Command => {
      const command = new Command(args, env);
      steps.push(() => command.kill('SIGKILL'));
      return command;
    },
    /** The queue as any BullMQ producer sees it. */
    rawQueue: (redis: TestRedis): Queue => {
      const queue = new Queue('cfw-jobs', { prefix: '{cfw}', connection: redis.client });
      queue.on('error', () => {});
      steps.push(() => queue.close());
      return queue;
    },
  };
}
