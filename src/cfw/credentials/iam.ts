import type { Got } from 'got';
import { z } from 'zod';
import type { Secret } from '../../lib/secret.js';
import { parseJson } from '../answer.js';
import { retryAfter } from '../errors.js';
import { type AuthHeaders, type Credential, CredentialError, PASSWORD_PAUSES_MS } from './credential.js';

/** An IAM user with a password. */
export interface IamUser {
  /** Base URL of IAM, ending in `/v3`. */
  readonly authUrl: string;
  readonly username: string;
  readonly password: Secret;
  readonly domainName: string;
}

interface Token {
  readonly value: string;
  /** By the clock of this process (`performance.now()`), so that no clock that is set can shorten or lengthen it. */
  readonly renewAt: number;
  readonly expiresAt: number;
  readonly fetchedAt: number;
  /** It was fetched since CFW had refused the one before; if this one is refused too, a third will not be better. */
  readonly replacesRefused: boolean;
}

/** What is known of one project. */
interface Project {
  token: Token | undefined;
  /** The fetch under way; whoever needs the token waits for this one. */
  fetching: Promise<Token> | undefined;
  /** A token that CFW has refused, until there is another one. */
  refusedToken: string | undefined;
  hadToken: boolean;
  trouble: Trouble | undefined;
}

/** IAM gave no token and is not asked again before a time, by `performance.now()`. */
interface Trouble {
  readonly error: CredentialError;
  readonly until: number;
  readonly count: number;
}

const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 60_000;
/** Tokens are renewed this much ahead of their end, or after three quarters of a shorter life. */
const RENEW_AHEAD_MS = 600_000;
/** A token that replaces a refused one and is refused within this time was never good. */
const FRESH_MS = 30_000;
/** A token whose times cannot be read is good for this long; it is found out by a refusal if it ends sooner. */
const UNKNOWN_LIFE_MS = 600_000;

const tokenResponse = z.object({
  token: z.object({ issued_at: z.string().optional(), expires_at: z.string().optional() }),
});
const errorResponse = z.object({
  error_code: z.string().optional(),
  error_msg: z.string().optional(),
  // Plain Keystone: https://docs.openstack.org/api-ref/identity/v3/
  error: z.object({ code: z.union([z.int(), z.string()]), message: z.string() }).optional(),
});

/**
 * IAM user and password: a Keystone v3 token for each project, fetched once however many polls need it, renewed ahead of
 * its end while the old one is still used.
 */
export function iamCredential({ authUrl, username, password, domainName }: IamUser, got: Got): Credential {
  const projects = new Map<string, Project>();
  /** Of IAM as a whole, or of the password: no project is asked for meanwhile. */
  let trouble: Trouble | undefined;
  /** Tokens are fetched one after the other, so that a wrong password is tried once and not once for each project. */
  let queue: Promise<unknown> = Promise.resolve();

  const projectOf = (projectId: string): Project => {
    let project = projects.get(projectId);
    if (project === undefined) {
      project = { token: undefined, fetching: undefined, refusedToken: undefined, hadToken: false, trouble: undefined };
      projects.set(projectId, project);
    }
    return project;
  };

  const troubleNow = (project: Project): CredentialError | undefined =>
    [trouble, project.trouble].find((one) => one !== undefined && performance.now() < one.until)?.error;

  const fetchToken = (projectId: string, project: Project): Promise<Token> => {
    const attempt = async (): Promise<Token> => {
      const error = troubleNow(project);
      if (error !== undefined) throw error;
      try {
        const token = await requestToken(projectId, project.refusedToken !== undefined);
        Object.assign(project, { token, refusedToken: undefined, hadToken: true, trouble: undefined });
        trouble = undefined;
        return token;
      } catch (reason) {
        throw noteTrouble(project, reason as CredentialError);
      }
    };
    if (project.fetching === undefined) {
      const fetching = queue.then(attempt).finally(() => {
        project.fetching = undefined;
      });
      project.fetching = fetching;
      queue = fetching.catch(() => {});
    }
    return project.fetching;
  };

  const noteTrouble = (project: Project, error: CredentialError): CredentialError => {
    const onlyHere = isOnlyForProject(project, error);
    const count = ((onlyHere ? project.trouble : trouble)?.count ?? 0) + 1;
    // The breaker's pauses are these, by another clock: a second less, so that its probe gets through and is not counted
    // as one more refusal without IAM having been asked.
    const pauseMs = error.refused
      ? (PASSWORD_PAUSES_MS[Math.min(count, PASSWORD_PAUSES_MS.length) - 1] ?? 0) - 1_000
      : Math.max(error.retryAfterMs ?? 0, Math.min(RETRY_MIN_MS * 2 ** (count - 1), RETRY_MAX_MS));
    const until = performance.now() + pauseMs;
    if (!onlyHere) {
      trouble = { error, until, count };
      return error;
    }
    project.trouble = { error: asUnavailable(error), until, count };
    return project.trouble.error;
  };

  /**
   * A project that does not exist or that the user has no role in looks like a wrong password. Where other projects have
   * their tokens and this one never had any, it is the project: the others must not suffer for it.
   */
  const isOnlyForProject = (project: Project, { refused, code }: CredentialError): boolean =>
    refused &&
    !/^IAM\.006[12]$/.test(code) &&
    !project.hadToken &&
    [...projects.values()].some(({ token }) => token !== undefined && token.expiresAt > performance.now());

  const requestToken = async (projectId: string, replacesRefused: boolean): Promise<Token> => {
    const askedAt = performance.now();
    const response = await got
      .post<string>(`${authUrl}/auth/tokens?nocatalog=true`, {
        json: {
          auth: {
            identity: {
              methods: ['password'],
              password: { user: { name: username, password: password.reveal(), domain: { name: domainName } } },
            },
            scope: { project: { id: projectId } },
          },
        },
      })
      .catch((error: Error & { code?: string }) => {
        throw new CredentialError({
          code: error.code ?? 'UNEXPECTED',
          httpStatus: null,
          message: `IAM cannot be reached: ${error.message}`,
          refused: false,
        });
      });
    const body = parseJson(response.body);
    const value = response.headers['x-subject-token'];
    if (response.statusCode === 201 && typeof value === 'string' && value !== '') {
      const lifeMs = lifeOf(body, response.headers.date);
      return {
        value,
        renewAt: askedAt + Math.max(lifeMs * 0.75, lifeMs - RENEW_AHEAD_MS),
        expiresAt: askedAt + lifeMs,
        fetchedAt: askedAt,
        replacesRefused,
      };
    }
    const { error_code, error_msg, error } = errorResponse.safeParse(body).data ?? {};
    const { statusCode } = response;
    const message = error_msg ?? error?.message ?? `HTTP ${statusCode}`;
    throw new CredentialError({
      code: error_code ?? `IAM_HTTP_${statusCode}`,
      httpStatus: statusCode,
      message: `IAM gives no token: ${message}`,
      // 400 and 404 are answers to a request that stays as it is, such as an unknown project; asking often is no use.
      refused: [400, 401, 403, 404].includes(statusCode),
      retryAfterMs: retryAfter(response.headers['retry-after'], message),
    });
  };

  return {
    authenticate({ projectId }): AuthHeaders | Promise<AuthHeaders> {
      const project = projectOf(projectId);
      const now = performance.now();
      const { token } = project;
      if (token === undefined || now >= token.expiresAt) {
        return fetchToken(projectId, project).then(({ value }) => ({ 'X-Auth-Token': value }));
      }
      // A renewal that fails is tried again by later polls; the token is good until its end.
      if (now >= token.renewAt && troubleNow(project) === undefined) fetchToken(projectId, project).catch(() => {});
      return { 'X-Auth-Token': token.value };
    },

    refused(headers): boolean {
      const value = headers['X-Auth-Token'];
      for (const project of projects.values()) {
        if (project.token === undefined || project.token.value !== value) continue;
        const { replacesRefused, fetchedAt, renewAt } = project.token;
        project.token = undefined;
        project.refusedToken = value;
        // One new token at once; should that be refused too, the next one comes with the next probe.
        // One that was due for renewal may just have ended, with a call under way.
        return !(replacesRefused && performance.now() < Math.min(fetchedAt + FRESH_MS, renewAt));
      }
      // Another poll has already thrown it away, and a new one is there or under way.
      return true;
    },

    watch: (onChange) =>
      password.watch(() => {
        trouble = undefined;
        onChange();
      }),
    secrets: () => [password.reveal()],
  };
}

function asUnavailable({ code, httpStatus, message, retryAfterMs }: CredentialError): CredentialError {
  return new CredentialError({
    code,
    httpStatus,
    message: `${message} (for this project only)`,
    refused: false,
    retryAfterMs,
  });
}

/**
 * How long a token lives, by IAM's own clock alone: issued to expiring, or the answer's date to expiring. The clocks here
 * and there may differ.
 */
function lifeOf(body: unknown, dateHeader: string | undefined): number {
  const { issued_at, expires_at } = tokenResponse.safeParse(body).data?.token ?? {};
  const from = Date.parse(issued_at ?? '') || Date.parse(dateHeader ?? '') || Date.now();
  const lifeMs = Date.parse(expires_at ?? '') - from;
  return lifeMs > 0 ? lifeMs : UNKNOWN_LIFE_MS;
}
