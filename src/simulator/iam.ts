import { randomBytes } from 'node:crypto';
import * as z from 'zod';
import { actOut, type Fault, FaultScript, faultSchema } from './faults.js';
import type { SimulatorReply, SimulatorRequest, SimulatorServer } from './http.js';
import { projectAskedFor, type reference, tokenRequest, type userName, type userSchema } from './token-request.js';

/** What a token is good for; neither: it is unscoped. */
export interface SimulatedScope {
  readonly projectId?: string | undefined;
  readonly domainId?: string | undefined;
}

interface Issued {
  readonly token: string;
  readonly body: { token: Record<string, unknown> };
  readonly scope: SimulatedScope;
  readonly expiresAt: number;
}

type Refusal = 'malformed' | 'wrong-user' | 'wrong-token' | 'no-role';

/** A stand-in for IAM, a Keystone v3: one user, one application credential, and tokens of every scope. */
export class SimulatedIam {
  readonly user: string;
  readonly userId = 'simulator-user-id';
  readonly domain: string;
  readonly domainId = 'simulator-domain-id';
  password: string;
  /** It belongs to one project. */
  readonly applicationCredential = {
    id: 'simulator-application-credential',
    name: 'simulator-application',
    secret: 'simulator-application-secret',
    projectId: 'my-project',
  };
  /** How long new tokens live, in milliseconds. */
  tokenLifeMs: number;
  /** What this clock shows in addition to the machine's, in milliseconds. */
  clockOffsetMs = 0;
  /** When tokens were asked for, and for which project; refused requests included. */
  readonly calls: { at: number; projectId: string | undefined; status: number }[] = [];
  /** Projects that the user has a role in; undefined: any. */
  projects: readonly string[] | undefined;
  /** The service type of CFW in the catalogue; undefined: it has none. */
  catalogueType: string | undefined = 'cfw';
  /** Base URL of this simulator, for the catalogue. */
  serviceUrl = '';
  #faults = new FaultScript([]);
  readonly #tokens = new Map<string, Issued>();

  constructor({ user = 'simulator-user', domain = 'simulator-domain', password = 'simulator-password' } = {}) {
    this.user = user;
    this.domain = domain;
    this.password = password;
    this.tokenLifeMs = 86_400_000;
  }

  /** Whether a token is good for a project, and if not, whether it is good for something else. */
  check(token: string, projectId: string): 'good' | 'other-project' | 'bad' {
    if (!this.isKnown(token)) return 'bad';
    return this.#tokens.get(token)?.scope.projectId === projectId ? 'good' : 'other-project';
  }

  /** Whether a token has been issued and has not ended. */
  isKnown(token: string): boolean {
    return Date.now() < (this.#tokens.get(token)?.expiresAt ?? 0);
  }

  /** Ends all tokens at once, as a change of permissions does. */
  revoke(): void {
    this.#tokens.clear();
  }

  /** What goes wrong with the next requests for tokens. */
  script(faults: readonly Fault[]): void {
    this.#faults = new FaultScript(faults);
  }

  /** @returns a new token and its body, or why there is none. */
  issue(body: unknown, withCatalogue = false): Issued | Refusal {
    const { success, data } = tokenRequest.safeParse(body);
    if (!success) return 'malformed';
    const { identity, scope } = data.auth;
    if ('application_credential' in identity) {
      const given = identity.application_credential;
      const known = this.applicationCredential;
      const isKnown = 'id' in given ? given.id === known.id : given.name === known.name && this.#isNamed(given.user);
      if (!isKnown || given.secret !== known.secret) return 'wrong-user';
      // Keystone refuses a scope: the credential has its own.
      if (scope !== undefined) return 'malformed';
      return this.issueFor({ projectId: known.projectId }, withCatalogue, 'application_credential');
    }
    if ('token' in identity) {
      if (!this.isKnown(identity.token.id)) return 'wrong-token';
    } else if (!this.#isUser(identity.password.user)) {
      return 'wrong-user';
    }
    const method = 'token' in identity ? 'token' : 'password';
    if (scope === undefined || scope === 'unscoped' || 'unscoped' in scope)
      return this.issueFor({}, withCatalogue, method);
    if ('domain' in scope) {
      return this.#isDomain(scope.domain)
        ? this.issueFor({ domainId: this.domainId }, withCatalogue, method)
        : 'no-role';
    }
    // Clients may name a project by its id or its name; here both are the same.
    const projectId = 'id' in scope.project ? scope.project.id : scope.project.name;
    if (this.projects !== undefined && !this.projects.includes(projectId)) return 'no-role';
    return this.issueFor({ projectId }, withCatalogue, method);
  }

  /** @returns a new token for the user, without asking who it is. */
  issueFor(scope: SimulatedScope, withCatalogue = false, method = 'password'): Issued {
    // As long as real ones: several KB.
    const token = `MII${randomBytes(3_000).toString('base64')}`;
    const issuedAt = Date.now();
    const time = (at: number) => new Date(at + this.clockOffsetMs).toISOString().replace('Z', '000Z');
    const domain = { id: this.domainId, name: this.domain };
    const { projectId, domainId } = scope;
    const isScoped = projectId !== undefined || domainId !== undefined;
    const issued: Issued = {
      token,
      scope,
      expiresAt: issuedAt + this.tokenLifeMs,
      body: {
        token: {
          methods: [method],
          issued_at: time(issuedAt),
          expires_at: time(issuedAt + this.tokenLifeMs),
          user: { id: this.userId, name: this.user, domain },
          ...(projectId === undefined ? {} : { project: { id: projectId, name: projectId, domain } }),
          ...(domainId === undefined ? {} : { domain }),
          ...(isScoped ? { roles: [{ id: 'simulated', name: 'reader' }] } : {}),
          ...(isScoped && withCatalogue ? { catalog: this.#catalogue(projectId ?? '') } : {}),
        },
      },
    };
    this.#tokens.set(token, issued);
    return issued;
  }

  #isUser(user: z.output<typeof userSchema>): boolean {
    return user.password === this.password && this.#isNamed(user);
  }

  #isNamed(user: z.output<typeof userName>): boolean {
    return 'id' in user ? user.id === this.userId : user.name === this.user && this.#isDomain(user.domain);
  }

  #isDomain(domain: z.output<typeof reference>): boolean {
    return 'id' in domain ? domain.id === this.domainId : domain.name === this.domain;
  }

  #catalogue(projectId: string): object[] {
    const service = (type: string, url: string) => ({
      id: `simulated-${type}`,
      type,
      name: type,
      endpoints: ['public', 'internal'].map((kind) => ({
        id: `simulated-${type}-${kind}`,
        interface: kind,
        region: 'simulator-region',
        region_id: 'simulator-region',
        url: kind === 'public' ? url : 'http://127.0.0.1:1',
      })),
    });
    const { catalogueType } = this;
    return [
      service('identity', `${this.serviceUrl}/v3`),
      ...(catalogueType === undefined ? [] : [service(catalogueType, `${this.serviceUrl}/v3/${projectId}`)]),
    ];
  }

  /**
   * The routes of Keystone v3 that clients need to discover it, to get, validate and revoke tokens, and to find what they may use.
   *
   * @param signatureProblem what is wrong with the signature of a request, which the vendor's SDKs send in place of a token.
   */
  serve(server: SimulatorServer, signatureProblem: (request: SimulatorRequest) => string | undefined): void {
    const version = (host: string) => ({
      id: 'v3.14',
      status: 'stable',
      updated: '2020-04-07T00:00:00Z',
      links: [{ rel: 'self', href: `http://${host}/v3/` }],
      'media-types': [{ base: 'application/json', type: 'application/vnd.openstack.identity-v3+json' }],
    });
    // Clients that know no version begin here; "multiple choices" is what Keystone answers.
    server.get('/', async ({ host }, reply) => reply.code(300).send({ versions: { values: [version(host)] } }));
    for (const path of ['/v3', '/v3/']) server.get(path, async ({ host }) => ({ version: version(host) }));
    const withSubject = (answer: (subject: string, reply: SimulatorReply) => unknown) => {
      return async ({ headers }: SimulatorRequest, reply: SimulatorReply) => {
        if (!this.isKnown(String(headers['x-auth-token']))) return keystoneError(reply, 401, UNAUTHORIZED);
        const subject = String(headers['x-subject-token']);
        return this.isKnown(subject) ? answer(subject, reply) : keystoneError(reply, 404, 'Could not find token.');
      };
    };
    const validate = withSubject((subject, reply) =>
      reply.header('X-Subject-Token', subject).send(this.#tokens.get(subject)?.body),
    );
    server.get('/v3/auth/tokens', validate);
    const revoke = withSubject((subject, reply) => {
      this.#tokens.delete(subject);
      return reply.code(204).send();
    });
    server.delete('/v3/auth/tokens', revoke);
    server.post('/v3/auth/tokens', async ({ body, query }, reply) => {
      const asked = { at: Date.now(), projectId: projectAskedFor(body), status: 201 };
      this.calls.push(asked);
      const fault = this.#faults.next();
      if (fault !== undefined) {
        asked.status = 0;
        return await actOut(fault, reply, {});
      }
      const issued = this.issue(body, !Object.hasOwn(query, 'nocatalog'));
      if (typeof issued === 'object') {
        return reply.code(201).header('X-Subject-Token', issued.token).send(issued.body);
      }
      asked.status = issued === 'malformed' ? 400 : 401;
      return refuse(reply, issued);
    });
    this.#serveLists(server, signatureProblem);
  }

  /** What a token, or the key of a signature, gives access to. */
  #serveLists(server: SimulatorServer, signatureProblem: (request: SimulatorRequest) => string | undefined): void {
    const known = (answer: (request: SimulatorRequest) => object) => {
      return async (request: SimulatorRequest, reply: SimulatorReply) => {
        const { authorization, 'x-auth-token': token } = request.headers;
        const isKnown = authorization === undefined ? this.isKnown(String(token)) : !signatureProblem(request);
        return isKnown ? answer(request) : keystoneError(reply, 401, UNAUTHORIZED);
      };
    };
    const projects = known(({ query: { name } }) => {
      const names = this.projects ?? [name ?? this.applicationCredential.projectId];
      const found = names.filter((known) => name === undefined || known === name);
      return { projects: found.map((id) => ({ id, name: id, domain_id: this.domainId, enabled: true })) };
    });
    for (const path of ['/v3/projects', '/v3/auth/projects']) server.get(path, projects);
    const domains = [{ id: this.domainId, name: this.domain, enabled: true }];
    server.get(
      '/v3/auth/domains',
      known(() => ({ domains })),
    );
    const catalogue = known(({ headers }) => {
      const scope = this.#tokens.get(String(headers['x-auth-token']))?.scope;
      return { catalog: this.#catalogue(scope?.projectId ?? '') };
    });
    server.get('/v3/auth/catalog', catalogue);
  }

  /** Changes what the control surface may change. */
  control(body: unknown): void {
    const { password, tokenLifeMs, faults, revoke } = iamControl.parse(body);
    if (password !== undefined) this.password = password;
    if (tokenLifeMs !== undefined) this.tokenLifeMs = tokenLifeMs;
    if (faults !== undefined) this.script(faults);
    if (revoke === true) this.revoke();
  }
}

const UNAUTHORIZED = 'The request you have made requires authentication.';

function keystoneError(reply: SimulatorReply, code: number, message: string, more: object = {}): SimulatorReply {
  const title = code === 400 ? 'Bad Request' : code === 404 ? 'Not Found' : 'Unauthorized';
  return reply.code(code).send({ error: { code, title, message }, ...more });
}

function refuse(reply: SimulatorReply, refusal: Refusal): SimulatorReply {
  if (refusal === 'malformed') {
    const message =
      'Expecting a method (password, token, application_credential) with what it needs, and a project, a domain or nothing as scope.';
    return keystoneError(reply, 400, message);
  }
  // Keystone does not tell whether it is the user, the password or the project.
  if (refusal !== 'wrong-user') return keystoneError(reply, 401, UNAUTHORIZED);
  const message = 'The username or password is wrong.';
  return keystoneError(reply, 401, message, { error_code: 'IAM.0062', error_msg: message });
}

const iamControl = z
  .object({
    password: z.string().optional(),
    tokenLifeMs: z.int().min(1).optional(),
    faults: z.array(faultSchema).optional(),
    revoke: z.boolean().optional(),
  })
  .strict();
