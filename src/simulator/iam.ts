import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { actOut, type Fault, FaultScript, faultSchema } from './faults.js';
import type { SimulatorServer } from './http.js';

/** A stand-in for IAM: one user, and tokens that are scoped to one project each. */
export class SimulatedIam {
  readonly user: string;
  readonly domain: string;
  password: string;
  /** How long new tokens live, in milliseconds. */
  tokenLifeMs: number;
  /** What this clock shows in addition to the machine's, in milliseconds. */
  clockOffsetMs = 0;
  /** When tokens were asked for, and for which project; refused requests included. */
  readonly calls: { at: number; projectId: string | undefined; status: number }[] = [];
  /** Projects that the user has a role in; undefined: any. */
  projects: readonly string[] | undefined;
  #faults = new FaultScript([]);
  readonly #tokens = new Map<string, { projectId: string; expiresAt: number }>();

  constructor({ user = 'simulator-user', domain = 'simulator-domain', password = 'simulator-password' } = {}) {
    this.user = user;
    this.domain = domain;
    this.password = password;
    this.tokenLifeMs = 86_400_000;
  }

  /** Whether a token is good for a project, and if not, whether it is good for another one. */
  check(token: string, projectId: string): 'good' | 'other-project' | 'bad' {
    const known = this.#tokens.get(token);
    if (known === undefined || Date.now() >= known.expiresAt) return 'bad';
    return known.projectId === projectId ? 'good' : 'other-project';
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
  issue(body: unknown): { token: string; body: object; projectId: string } | 'malformed' | 'wrong-user' | 'no-role' {
    const { success, data } = tokenRequest.safeParse(body);
    if (!success) return 'malformed';
    const { user } = data.auth.identity.password;
    const projectId = data.auth.scope.project.id;
    if (user.name !== this.user || user.domain.name !== this.domain || user.password !== this.password)
      return 'wrong-user';
    if (this.projects !== undefined && !this.projects.includes(projectId)) return 'no-role';
    // As long as real ones: several KB.
    const token = `MII${randomBytes(3_000).toString('base64')}`;
    const issuedAt = Date.now();
    this.#tokens.set(token, { projectId, expiresAt: issuedAt + this.tokenLifeMs });
    const time = (at: number) => new Date(at + this.clockOffsetMs).toISOString().replace('Z', '000Z');
    const domain = { id: 'simulated', name: this.domain };
    return {
      token,
      projectId,
      body: {
        token: {
          methods: ['password'],
          issued_at: time(issuedAt),
          expires_at: time(issuedAt + this.tokenLifeMs),
          user: { id: 'simulated', name: this.user, domain },
          project: { id: projectId, name: projectId, domain },
          roles: [{ id: 'simulated', name: 'reader' }],
          catalog: [],
        },
      },
    };
  }

  /** The routes of Keystone v3 that a client needs to get a token. */
  serve(server: SimulatorServer): void {
    server.get('/v3', async ({ host }) => ({
      version: { id: 'v3.14', status: 'stable', links: [{ rel: 'self', href: `http://${host}/v3` }] },
    }));
    server.post('/v3/auth/tokens', async ({ body }, reply) => {
      const asked = {
        at: Date.now(),
        projectId: tokenRequest.safeParse(body).data?.auth.scope.project.id,
        status: 201,
      };
      this.calls.push(asked);
      const fault = this.#faults.next();
      if (fault !== undefined) {
        asked.status = 0;
        return await actOut(fault, reply, {});
      }
      const issued = this.issue(body);
      if (typeof issued === 'object') {
        return reply.code(201).header('X-Subject-Token', issued.token).send(issued.body);
      }
      if (issued === 'malformed') {
        asked.status = 400;
        const message = 'Expecting a user with password and domain, and a project as scope.';
        return reply.code(400).send({ error: { code: 400, title: 'Bad Request', message } });
      }
      asked.status = 401;
      if (issued === 'no-role') {
        // Keystone does not tell whether it is the user, the password or the project.
        const message = 'The request you have made requires authentication.';
        return reply.code(401).send({ error: { code: 401, title: 'Unauthorized', message } });
      }
      return reply.code(401).send({
        error: { code: 401, title: 'Unauthorized', message: 'The username or password is wrong.' },
        error_code: 'IAM.0062',
        error_msg: 'The username or password is wrong.',
      });
    });
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

const name = z.object({ name: z.string() });
const tokenRequest = z.object({
  auth: z.object({
    identity: z.object({
      methods: z.tuple([z.literal('password')]),
      password: z.object({ user: z.object({ name: z.string(), password: z.string(), domain: name }) }),
    }),
    // Clients may name a project by its id or its name; here both are the same.
    scope: z.object({
      project: z.union([z.object({ id: z.string() }), name.transform((project) => ({ id: project.name }))]),
    }),
  }),
});

const iamControl = z
  .object({
    password: z.string().optional(),
    tokenLifeMs: z.int().min(1).optional(),
    faults: z.array(faultSchema).optional(),
    revoke: z.boolean().optional(),
  })
  .strict();
