import { type CfwClient, type Credential, CredentialError, createHttp } from '../../cfw/index.js';
import { createClient, discover } from '../../client.js';
import { type Config, ConfigError } from '../../config/index.js';
import { formatDuration } from '../../lib/duration.js';
import type { Secret } from '../../lib/secret.js';
import { type DoctorFinding, fail, ok, warn } from './finding.js';

/** Signatures are refused when they are 15 minutes old or new; this leaves room. */
const SKEW_FAIL_MS = 600_000;
/** From here on, times in events look odd. */
const SKEW_WARN_MS = 5_000;
/** No job is called so: CFW answers that it does not know it, which proves everything up to there. */
const NO_JOB = 'cfw-job-poller-doctor';

/** Looks at the source of the credentials, IAM and CFW: whether they answer, and whether one read call goes through. */
export async function checkCloud(config: Config): Promise<DoctorFinding[]> {
  const { kind, variables, role } = config.credentials;
  const onTop = role === undefined ? '' : `, with the role ${role.agencyName} on top (HW_ASSUME_ROLE_AGENCY_NAME)`;
  const found = ok('credentials found', `${kind}, by ${variables.join(', ')}${onTop}`);
  const iam = await checkIam(config);
  // What cannot be reached need not be asked, and a wrong password is better not tried for nothing.
  if (iam.some(({ state }) => state === 'fail')) return [found, ...iam, ...(await checkCfw(config))];
  const whole = await discovered(config);
  if ('state' in whole) return [found, ...iam, whole];
  const cfw = await checkCfw(whole);
  const reached = [found, ...iam, ...endpointFound(config, whole), ...cfw];
  if (cfw.some(({ state }) => state === 'fail')) return reached;
  return [...reached, ...(await checkCredentials(whole))];
}

/** The IAM of the kinds that have one; other sources are asked for keys right away. */
async function checkIam({ cfw, credentials }: Config): Promise<DoctorFinding[]> {
  const { requestTimeoutMs, ca } = cfw;
  const { source, role } = credentials;
  const options = (proxy: Secret | undefined) => ({ requestTimeoutMs, ca, proxy });
  if (source.kind === 'iam') {
    const variable = credentials.kind === 'cloud' ? 'auth_url in clouds.yaml' : 'OS_AUTH_URL';
    return await checkReach('IAM', source.authUrl, variable, options(source.proxy));
  }
  const iam = source.kind === 'oidc' ? source : role;
  if (iam === undefined) return [];
  return await checkReach('IAM', iam.iamEndpoint, 'HUAWEICLOUD_SDK_IAM_ENDPOINT', options(iam.proxy));
}

async function checkCfw({ cfw }: Config): Promise<DoctorFinding[]> {
  const { requestTimeoutMs, ca, proxy, endpoint } = cfw;
  return endpoint === '' ? [] : await checkReach('CFW', endpoint, 'CFW_ENDPOINT', { requestTimeoutMs, ca, proxy });
}

/** The configuration with what Keystone has to be asked for, or why that is not known. */
async function discovered(config: Config): Promise<Config | DoctorFinding> {
  const giveUp = new AbortController();
  try {
    return await discover(config, {
      signal: giveUp.signal,
      // One attempt is enough to report what is wrong.
      onError: (error) => giveUp.abort(error),
    });
  } catch (error) {
    const reason = giveUp.signal.aborted ? (giveUp.signal.reason as Error) : error;
    if (reason instanceof ConfigError) return fail('endpoint', reason.problems.join('; '));
    if (!(reason instanceof CredentialError)) throw reason;
    return fail('credentials', `${reason.code}: ${reason.message}; check the ${config.credentials.kind} credentials`);
  }
}

function endpointFound(before: Config, { cfw, projectId }: Config): DoctorFinding[] {
  if (before.discovery === undefined) return [];
  const project = before.projectId === projectId ? '' : `, project ${projectId}`;
  return [ok('endpoint', `${cfw.endpoint}${project}, by the catalogue of IAM`)];
}

/** Any HTTP answer will do; no credential is sent. */
async function checkReach(
  name: string,
  url: string,
  variable: string,
  options: { requestTimeoutMs: number; proxy: Secret | undefined; ca: string | undefined },
): Promise<DoctorFinding[]> {
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

/** Asks the source for a key or token, then CFW for a job that does not exist. */
async function checkCredentials(config: Config): Promise<DoctorFinding[]> {
  const { projectId } = config;
  let expiresAt: Date | undefined;
  const { client, credential, close } = createClient(config, {
    onIssued: (issued) => {
      expiresAt = issued.expiresAt;
    },
  });
  try {
    const noProject = warn(
      SUBJECT,
      'not tried at CFW, since CFW_PROJECT_ID is not set; set it to have them tried with one read',
    );
    // Tokens of IAM are for a project.
    if (projectId === undefined && config.credentials.source.kind === 'iam') return [noProject];
    const refusal = await askSource(config, credential);
    if (refusal !== undefined) return [refusal];
    const findings = expiresAt === undefined ? [] : [ok('source', `it gave a key or token, ${endOf(expiresAt)}`)];
    return [...findings, projectId === undefined ? noProject : await checkCall(config, client, projectId)];
  } finally {
    close();
  }
}

const SUBJECT = 'credentials';

const endOf = (expiresAt: Date) =>
  `which ends at ${expiresAt.toISOString()} (in ${formatDuration(Math.max(0, expiresAt.getTime() - Date.now()))})`;

/** @returns why the source gives nothing; undefined if it does */
async function askSource({ cfw, credentials, projectId = NO_JOB }: Config, credential: Credential) {
  try {
    await credential.authenticate({ method: 'GET', url: new URL(cfw.endpoint), projectId });
    return undefined;
  } catch (error) {
    if (!(error instanceof CredentialError)) throw error;
    const secrets = credential.secrets().filter((secret) => secret !== '');
    const message = secrets.reduce((text, secret) => text.replaceAll(secret, '[secret]'), error.message);
    const names = credentials.variables.join(', ');
    return fail(SUBJECT, `${error.code}: ${message}; check the ${credentials.kind} credentials (${names})`);
  }
}

/** One read of a job that does not exist. */
async function checkCall({ credentials }: Config, client: CfwClient, projectId: string): Promise<DoctorFinding> {
  const subject = SUBJECT;
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
      return fail(subject, `${told}; CFW or a gateway in front of it fails: try again later`);
    default:
      return kind satisfies never;
  }
}
