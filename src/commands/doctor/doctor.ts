import { type BaseConfig, type Config, ConfigError, loadBaseConfig, loadConfig } from '../../config/index.js';
import type { Terminal } from '../terminal.js';
import { checkCloud } from './cloud.js';
import { type DoctorFinding, fail, ok } from './finding.js';
import { checkRedis } from './redis.js';

/**
 * Looks at everything that the sidecar needs, and prints a line for each: how it is, and what to do if it is not well.
 * It changes nothing and enqueues nothing.
 *
 * @returns whether nothing fails.
 */
export async function doctor(env: NodeJS.ProcessEnv, terminal: Terminal): Promise<boolean> {
  const { config, base, findings } = readConfig(env);
  findings.push(
    ...(
      await Promise.all([base === undefined ? [] : checkRedis(base), config === undefined ? [] : checkCloud(config)])
    ).flat(),
  );
  const colours = { ok: 'green', warn: 'yellow', fail: 'red' } as const;
  for (const { subject, state, text } of findings) {
    terminal.print(`${terminal.style(colours[state], state.padEnd(4))}  ${subject.padEnd(17)}  ${text}`);
  }
  return findings.every(({ state }) => state !== 'fail');
}

/** If the whole configuration is invalid, Redis is still checked if its own variables are valid. */
function readConfig(env: NodeJS.ProcessEnv): {
  config: Config | undefined;
  base: BaseConfig | undefined;
  findings: DoctorFinding[];
} {
  const subject = 'configuration';
  const config = attempt(() => loadConfig(env));
  if (!(config instanceof ConfigError)) return { config, base: config, findings: [ok(subject, 'complete')] };
  const base = attempt(() => loadBaseConfig(env));
  return {
    config: undefined,
    base: base instanceof ConfigError ? undefined : base,
    findings: config.problems.map((problem) => fail(subject, problem)),
  };
}

function attempt<T>(load: () => T): T | ConfigError {
  try {
    return load();
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
}
