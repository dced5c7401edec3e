import { type SimulatorOptions, startSimulator } from '../simulator/index.js';
import type { Terminal } from './terminal.js';

/** Runs the stand-in for CFW until told to stop. */
export async function simulator(options: SimulatorOptions, terminal: Terminal, stop: AbortSignal): Promise<void> {
  const { url, token, iam, key, stop: close } = await startSimulator(options);
  terminal.print(`the CFW simulator listens on ${url}; it keeps nothing and is for trying things out only`);
  terminal.print(`
point the sidecar at it:
  export CFW_ENDPOINT=${url} CFW_AUTH_TOKEN=${token} CFW_PROJECT_ID=my-project
or, in place of the token, with an IAM user or an access key:
  export OS_AUTH_URL=${url}/v3 OS_USERNAME=${iam.user} OS_PASSWORD=${iam.password} OS_USER_DOMAIN_NAME=${iam.domain}
  export HUAWEICLOUD_SDK_AK=${key.accessKey} HUAWEICLOUD_SDK_SK=${key.secretKey}

ask it for a firewall, as a provisioning system would; the answer holds the job id:
  curl -s -X POST -H 'X-Auth-Token: ${token}' ${url}/v2/my-project/firewall

script a job, faults included, and see what was asked:
  curl -s -X POST -H 'Content-Type: application/json' ${url}/simulator/jobs \\
    -d '{"projectId":"my-project","durationMs":20000,"faults":[{"fault":"throttled","times":3,"retryAfter":"2"}]}'
  curl -s ${url}/simulator/jobs`);
  if (!stop.aborted) await new Promise((resolve) => stop.addEventListener('abort', resolve, { once: true }));
  await close();
}
