import type { HttpClient } from '../http.js';
import { type AuthHeaders, type Credential, CredentialError, type SourceObserver } from './credential.js';
import { askToken, isPasswordRefused, type KeystoneLogin, secretOf } from './keystone.js';
import { type Lease, Renewing } from './renewing.js';
import { IAM_PAUSE_MS, SourcePause } from './source.js';

interface ProjectToken {
  readonly value: string;
  /** The project that the token is for, if IAM says so. */
  readonly projectId: string | undefined;
}

/** What is known of one project. */
interface Project {
  readonly renewing: Renewing<ProjectToken>;
  /** IAM gives no token for this project, but for others. */
  readonly pause: SourcePause;
}

/** Tokens are renewed this much ahead of their end, or after three quarters of a shorter life. */
const RENEW_AHEAD_MS = 600_000;
/** An application credential belongs to one project, so its token serves all requests. */
const ONLY_PROJECT = '';

/**
 * A login at IAM: a Keystone v3 token for each project, fetched once however many polls need it, renewed ahead of its end
 * while the old one is still used.
 */
export function iamCredential(login: KeystoneLogin, http: HttpClient, observe: SourceObserver = () => {}): Credential {
  const projects = new Map<string, Project>();
  /** Of IAM as a whole, or of the password: no project is asked for meanwhile. */
  const pause = new SourcePause({ maxMs: IAM_PAUSE_MS });
  /** Tokens are fetched one after the other, so that a wrong password is tried once and not once for each project. */
  let queue: Promise<unknown> = Promise.resolve();
  const hasOneProject = login.identity.method === 'application_credential';

  const projectOf = (projectId: string): Project => {
    const known = projects.get(projectId);
    if (known !== undefined) return known;
    const project: Project = {
      pause: new SourcePause({ maxMs: IAM_PAUSE_MS }),
      renewing: new Renewing<ProjectToken>({
        ask: () => {
          const asking = queue.then(() => askFor(projectId, project));
          queue = asking.catch(() => {});
          return asking;
        },
        mayAsk: () => pausedBy(project) === undefined,
        aheadMs: (lifeMs) => Math.min(lifeMs * 0.25, RENEW_AHEAD_MS),
        observe,
      }),
    };
    projects.set(projectId, project);
    return project;
  };

  const pausedBy = (project: Project): CredentialError | undefined => pause.error ?? project.pause.error;

  const askFor = async (projectId: string, project: Project): Promise<Lease<ProjectToken>> => {
    const paused = pausedBy(project);
    if (paused !== undefined) throw paused;
    try {
      const {
        token,
        lifeMs,
        projectId: scopedTo,
      } = await askToken(login, http, {
        scope: { project: { id: projectId } },
      });
      pause.clear();
      project.pause.clear();
      return { value: { value: token, projectId: scopedTo }, lifeMs };
    } catch (reason) {
      const error = reason as CredentialError;
      observe({ outcome: error.httpStatus === null ? 'unreachable' : 'refused', error });
      throw isOnlyForProject(projects, project, error)
        ? project.pause.begin(error, asUnavailable(error))
        : pause.begin(error);
    }
  };

  const headers = (projectId: string, token: ProjectToken): AuthHeaders => {
    if (hasOneProject) checkProject(projectId, token.projectId);
    return { 'X-Auth-Token': token.value };
  };

  const secret = secretOf(login);
  return {
    authenticate({ projectId }): AuthHeaders | Promise<AuthHeaders> {
      const token = projectOf(hasOneProject ? ONLY_PROJECT : projectId).renewing.get();
      return token instanceof Promise
        ? token.then((fetched) => headers(projectId, fetched))
        : headers(projectId, token);
    },

    refused(shown): boolean {
      const refused = shown['X-Auth-Token'];
      for (const { renewing } of projects.values()) {
        if (renewing.has(({ value }) => value === refused)) return renewing.refused(({ value }) => value === refused);
      }
      // Another poll has already thrown it away, and a new one is there or under way.
      return true;
    },

    watch: (onChange) =>
      secret.watch(() => {
        pause.clear();
        onChange();
      }),
    secrets: () => [secret.reveal()],
  };
}

/** @throws {CredentialError} if an application credential belongs to another project. */
function checkProject(projectId: string, own: string | undefined): void {
  if (own === undefined || own === projectId) return;
  throw new CredentialError({
    code: 'WRONG_PROJECT',
    httpStatus: null,
    message: `the application credential belongs to project ${own}, so it cannot ask for jobs of project ${projectId}`,
    refused: false,
    denied: true,
  });
}

/**
 * A project that does not exist or that the user has no role in looks like a wrong password. If other projects have their
 * tokens and this one never had any, it is the project: the others must not suffer for it.
 */
function isOnlyForProject(
  projects: ReadonlyMap<string, Project>,
  { renewing }: Project,
  error: CredentialError,
): boolean {
  return (
    error.refused &&
    !isPasswordRefused(error) &&
    !renewing.hadValue &&
    [...projects.values()].some((other) => other.renewing.isGood)
  );
}

/** The refusal of one project is none of the credential. */
function asUnavailable(cause: CredentialError): CredentialError {
  const { code, httpStatus, message, retryAfterMs } = cause;
  return new CredentialError({
    code,
    httpStatus,
    message: `${message} (for this project only)`,
    refused: false,
    retryAfterMs,
    cause,
  });
}
