import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kindEnvironments, type SimulatorOptions, startSimulator } from '../simulator/index.js';
import type { Terminal } from './terminal.js';

/** Runs the stand-in for CFW until the signal is aborted. */
export async function simulator(options: SimulatorOptions, terminal: Terminal, stop: AbortSignal): Promise<void> {
  const started = await startSimulator(options);
  const { url, token, stop: close } = started;
  // Tokens, clouds.yaml and the like, for the kinds that read files.
  const folder = await mkdtemp(join(tmpdir(), 'cfw-simulator-'));
  try {
    const kinds = await kindEnvironments(started, folder);
    terminal.print(`the CFW simulator listens on ${url}; it keeps nothing and is for trying things out only`);
    terminal.print(`
point the sidecar at it:
  export CFW_ENDPOINT=${url} CFW_PROJECT_ID=my-project
and choose one kind of credentials (files are in ${folder} until the simulator ends):`);
    for (const { kind, env } of kinds) {
      const exports = Object.entries(env).map(([name, value]) => `${name}=${value}`);
      terminal.print(`  # ${kind}\n  export ${exports.join(' \\\n    ')}`);
    }
    terminal.print(`
without CFW_ENDPOINT, the kinds iam and cloud take it from the catalogue of IAM.

ask it for a firewall, as a provisioning system would; the answer holds the job id:
  curl -s -X POST -H 'X-Auth-Token: ${token}' ${url}/v2/my-project/firewall

script a job, faults included, and see what was asked:
  curl -s -X POST -H 'Content-Type: application/json' ${url}/simulator/jobs \\
    -d '{"projectId":"my-project","durationMs":20000,"faults":[{"fault":"throttled","times":3,"retryAfter":"2"}]}'
  curl -s ${url}/simulator/jobs

script a source of keys (metadata, pod-identity, oidc, role) or IAM (/simulator/iam, with tokenLifeMs in place of lifeMs):
  curl -s -X PUT -H 'Content-Type: application/json' ${url}/simulator/sources/metadata \\
    -d '{"lifeMs":20000,"revoke":true,"faults":[{"fault":"drop","forMs":10000}]}'`);
    if (!stop.aborted) await new Promise((resolve) => stop.addEventListener('abort', resolve, { once: true }));
  } finally {
    await rm(folder, { recursive: true, force: true });
    await close();
  }
}
