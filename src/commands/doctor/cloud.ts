import { createHttp } from '../../cfw/index.js';
import { createClient } from '../../client.js';
import type { Config } from '../../config/index.js';
import type { Secret } from '../../lib/secret.js';
import { type Finding, fail, ok, warn } from './finding.js';

/** Signatures are refused when they are 15 minutes old or new; this leaves room. */
const SKEW_FAIL_MS = 600_000;
/** From here on, times in events look odd. */
const SKEW_WARN_MS = 5_000;
/** No job is called so: CFW answers that it does not know it, which proves everything up to there. */
const NO_JOB = 'cfw-job-poller-doctor';

/** Looks at IAM and CFW: whether they answer, whether the clocks agree, and whether one read call goes through. */
export async function checkCloud(config: Config): Promise<Finding[]> {
  const { cfw, credentials } = config;
  const { requestTimeoutMs } = cfw;
  const reach = [checkReach('CFW', cfw.endpoint, 'CFW_ENDPOINT', { requestTimeoutMs, proxy: cfw.proxy })];
  if (credentials.source.kind === 'iam') {
    const options = { requestTimeoutMs, proxy: credentials.source.proxy };
    reach.push(checkReach('IAM', credentials.source.authUrl, 'OS_AUTH_URL', options));
  }
  const reached = (await Promise.all(reach)).flat();
  // What cannot be reached need not be asked, and a wrong password is better not tried for nothing.
  if (reached.some(({ state }) => state === 'fail')) return reached;
  return [...reached, await checkCall(config)];
}

/** Any HTTP answer will do; no credential is sent. */
async function checkReach(
  name: string,
  url: string,
  variable: string,
  options: { requestTimeoutMs: number; proxy: Secret | undefined },
): Promise<Finding[]> {
  const { http, close } = createHttp(options);
  try {
    const { headers, statusCode } = await http.get(url);
    const via = options.proxy === undefined ? '' : ' through the proxy';
    const found = [ok(`${name} reachability`, `${url} answers${via} (HTTP ${statusCode})`)];
    const skew = Date.parse(headers.date ?? '') - Date.now();
    if (!Number.isFinite(skew)) return found;
    const text = `the clock here is ${Math.round(Math.abs(skew) / 1_000)} s ${skew > 0 ? 'behind' : 'ahead of'} that of ${name}`;
    if (Math.abs(skew) >= SKEW_FAIL_MS) {
      found.push(fail('clock', `${text}; signatures will be refused: set the clock (NTP)`));
    } else if (Math.abs(skew) >= SKEW_WARN_MS) found.push(warn('clock', `${text}; set the clock (NTP)`));
    else found.push(ok('clock', `as that of ${name}`));
    return found;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return [
      fail(
        `${name} reachability`,
        `${url} does not answer: ${code ?? 'error'}: ${message}; check ${variable}, DNS, HTTPS_PROXY and the network`,
      ),
    ];
  } finally {
    close();
  }
}

/** One read of a job that does not exist. */
async function checkCall(config: Config): Promise<Finding> {
  const subject = 'credentials';
  const { projectId, credentials } = config;
  if (projectId === undefined) {
    return warn(subject, 'not tried, since CFW_PROJECT_ID is not set; set it to have them tried with one read');
  }
  const { client, close } = createClient(config);
  try {
    const answer = await client.getJob({ projectId, jobId: NO_JOB });
    if (answer.kind === 'job') return ok(subject, `${credentials.kind}: CFW accepts them`);
    const { kind, code, message } = answer;
    const told = `${code}: ${message}`;
    switch (kind) {
      case 'not-found':
      case 'rejected':
      case 'invalid':
        return ok(subject, `${credentials.kind}: CFW accepts them (${code} for a job that does not exist)`);
      case 'denied':
        return fail(subject, `${told}; the user needs read access to CFW in project ${projectId} (cfw:instance:get)`);
      case 'throttled':
        return warn(subject, `${told}; the quota is used up just now: try again, and lower CFW_RATE_LIMIT`);
      case 'unauthorized':
      case 'withheld':
        return fail(subject, `${told}; check the ${credentials.kind} credentials, their region and project`);
      case 'transient':
        return fail(subject, `${told}; CFW or what is in front of it is in trouble: try again later`);
      default:
        return kind satisfies never;
    }
  } finally {
    close();
  }
}
