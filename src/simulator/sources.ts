import { randomBytes } from 'node:crypto';
import * as z from 'zod';
import type { SimulatedKeys } from './access-key.js';
import { actOut, type Fault, FaultScript, faultSchema } from './faults.js';
import type { SimulatorReply, SimulatorRequest, SimulatorServer } from './http.js';
import type { SimulatedIam } from './iam.js';

/** A source of temporary keys: how long they live, and what goes wrong, by script. */
export class SimulatedSource {
  /** How long new keys live, in milliseconds. */
  lifeMs = 86_400_000;
  /** When keys were asked for; refused requests included. Status 0: a fault. */
  readonly calls: { at: number; status: number }[] = [];
  #faults = new FaultScript([]);

  /** What goes wrong with the next requests, or for how long from now. */
  script(faults: readonly Fault[]): void {
    this.#faults = new FaultScript(faults);
  }

  /** Answers a request for keys, unless a fault is to be acted out. */
  async answer(
    reply: SimulatorReply,
    answer: () => { status: number; body: unknown } | Promise<{ status: number; body: unknown }>,
  ): Promise<unknown> {
    const call = { at: Date.now(), status: 0 };
    this.calls.push(call);
    const fault = this.#faults.next();
    if (fault !== undefined) return await actOut(fault, reply, {});
    const { status, body } = await answer();
    call.status = status;
    return reply.code(status).send(body);
  }

  control(body: unknown): { revoke: boolean; more: z.output<typeof sourceControl> } {
    const more = sourceControl.parse(body);
    if (more.lifeMs !== undefined) this.lifeMs = more.lifeMs;
    if (more.faults !== undefined) this.script(more.faults);
    return { revoke: more.revoke === true, more };
  }
}

/** The metadata service of a server. */
export class SimulatedMetadata extends SimulatedSource {
  /** Version 1 knows no session tokens. */
  version: 1 | 2 = 2;
  /** Whether an agency is assigned to the server. */
  hasAgency = true;
  readonly tokens = new Set<string>();
}

/** Where the pod of a cluster gets keys. */
export class SimulatedPodIdentity extends SimulatedSource {
  /** What the token file of the pod holds. */
  token = 'simulator-pod-token';
}

/** An identity provider that IAM trusts. */
export class SimulatedOidc extends SimulatedSource {
  idpId = 'simulator-idp';
  /** What the file of the JWT holds. */
  jwt = 'simulator.id.token';
}

/** An agency of another account that the keys may act as. */
export class SimulatedRole extends SimulatedSource {
  agencyName = 'simulator-agency';
  domainName = 'simulator-other-domain';
  domainId = 'simulator-other-domain-id';
}

/** All sources of temporary keys, by name. */
export interface SimulatedSources {
  readonly metadata: SimulatedMetadata;
  readonly podIdentity: SimulatedPodIdentity;
  readonly oidc: SimulatedOidc;
  readonly role: SimulatedRole;
}

export const createSources = (): SimulatedSources => ({
  metadata: new SimulatedMetadata(),
  podIdentity: new SimulatedPodIdentity(),
  oidc: new SimulatedOidc(),
  role: new SimulatedRole(),
});

/** What the routes of the sources need. */
export interface SourceRoutes {
  readonly sources: SimulatedSources;
  readonly keys: SimulatedKeys;
  readonly iam: SimulatedIam;
  /** What is wrong with the signature of a request, undefined if nothing is. */
  readonly signatureProblem: (request: SimulatorRequest) => string | undefined;
}

/** The routes of all sources, and how to script them. */
export function serveSources(server: SimulatorServer, routes: SourceRoutes): void {
  serveMetadata(server, routes);
  servePodIdentity(server, routes);
  serveOidc(server, routes);
  serveSecurityTokens(server, routes);
  serveControl(server, routes);
}

const error = (status: number, error_msg: string, error_code = `IAM.${status}`) => ({
  status,
  body: { error_code, error_msg },
});

function serveMetadata(server: SimulatorServer, { sources: { metadata }, keys }: SourceRoutes): void {
  server.put('/meta-data/latest/api/token', async ({ headers }, reply) => {
    if (metadata.version === 1) return reply.code(404).send('404 Not Found');
    const lifeS = Number(headers['x-metadata-token-ttl-seconds']);
    if (!(lifeS >= 1 && lifeS <= 21_600)) return reply.code(400).send('Bad Request');
    const token = randomBytes(24).toString('base64url');
    metadata.tokens.add(token);
    return reply.type('text/plain').send(token);
  });
  server.get('/openstack/latest/securitykey', ({ headers }, reply) =>
    metadata.answer(reply, () => {
      if (metadata.version === 2 && !metadata.tokens.has(String(headers['x-metadata-token']))) {
        return error(401, 'Unauthorized: the session token is missing or has ended');
      }
      if (!metadata.hasAgency) return error(401, 'The agency should be configured first');
      return { status: 200, body: { credential: keys.issue(metadata.lifeMs) } };
    }),
  );
}

function servePodIdentity(server: SimulatorServer, { sources: { podIdentity }, keys }: SourceRoutes): void {
  server.post('/pod-identity/credentials', ({ headers }, reply) =>
    podIdentity.answer(reply, () => {
      if (headers.authorization !== podIdentity.token) return error(401, 'The token of the pod is not valid');
      const { access, secret, securitytoken, expires_at } = keys.issue(podIdentity.lifeMs);
      const credentials = { accessKeyId: access, secretAccessKey: secret, securityToken: securitytoken };
      return { status: 200, body: { credentials: { ...credentials, expiration: expires_at } } };
    }),
  );
}

function serveOidc(server: SimulatorServer, { sources: { oidc }, iam }: SourceRoutes): void {
  server.post('/v3.0/OS-AUTH/id-token/tokens', ({ headers, body }, reply) =>
    oidc.answer(reply, () => {
      const { success, data } = idTokenRequest.safeParse(body);
      if (!success) return error(400, 'Expecting auth.id_token.id');
      if (headers['x-idp-id'] !== oidc.idpId) return error(404, 'The identity provider does not exist');
      if (data.auth.id_token.id !== oidc.jwt) return error(401, 'The id token is not valid');
      const { token, body: answer } = iam.issueFor({ projectId: data.auth.scope?.project.id });
      void reply.header('X-Subject-Token', token);
      return { status: 201, body: answer };
    }),
  );
}

/** IAM's own route for keys: for a token, or for a role. */
function serveSecurityTokens(server: SimulatorServer, { sources, keys, iam, signatureProblem }: SourceRoutes): void {
  const { oidc, role } = sources;
  server.post('/v3.0/OS-CREDENTIAL/securitytokens', async (request, reply) => {
    const send = ({ status, body }: ReturnType<typeof error>) => reply.code(status).send(body);
    const { success, data } = securityTokenRequest.safeParse(request.body);
    if (!success) return send(error(400, 'Expecting auth.identity with the method token or assume_role'));
    const { identity } = data.auth;
    if ('token' in identity) {
      if (!iam.isKnown(String(request.headers['x-auth-token']))) return send(error(401, 'The token is not valid'));
      return reply.code(201).send({ credential: keys.issue(oidc.lifeMs) });
    }
    return await role.answer(reply, () => {
      const problem = signatureProblem(request);
      if (problem !== undefined) return error(401, problem, 'APIGW.0301');
      const { agency_name, domain_name, domain_id } = identity.assume_role;
      const isKnown = domain_name === role.domainName || domain_id === role.domainId;
      if (agency_name !== role.agencyName || !isKnown) return error(403, 'The agency may not be assumed');
      return { status: 201, body: { credential: keys.issue(role.lifeMs) } };
    });
  });
}

function serveControl(server: SimulatorServer, { sources, keys }: SourceRoutes): void {
  const { metadata, podIdentity, oidc, role } = sources;
  const names = { metadata, 'pod-identity': podIdentity, oidc, role };
  server.put('/simulator/sources/:name', async ({ params, body }, reply) => {
    const source = Object.hasOwn(names, params.name) ? names[params.name as keyof typeof names] : undefined;
    if (source === undefined) return reply.code(404).send({ error_msg: `there are ${Object.keys(names).join(', ')}` });
    const { revoke, more } = source.control(body);
    if (revoke) keys.revoke();
    if (source === metadata && more.version !== undefined) metadata.version = more.version;
    if (source === metadata && more.hasAgency !== undefined) metadata.hasAgency = more.hasAgency;
    return reply.code(204).send();
  });
}

const idTokenRequest = z.object({
  auth: z.object({
    id_token: z.object({ id: z.string() }),
    scope: z.object({ project: z.object({ id: z.string() }) }).optional(),
  }),
});

const securityTokenRequest = z.object({
  auth: z.object({
    identity: z.union([
      z.object({ methods: z.tuple([z.literal('token')]), token: z.object({ duration_seconds: z.int() }) }),
      z.object({
        methods: z.tuple([z.literal('assume_role')]),
        assume_role: z.object({
          agency_name: z.string(),
          domain_name: z.string().optional(),
          domain_id: z.string().optional(),
          duration_seconds: z.int().min(900).max(86_400),
        }),
      }),
    ]),
  }),
});

const sourceControl = z
  .object({
    lifeMs: z.int().min(1).optional(),
    faults: z.array(faultSchema).optional(),
    /** Ends all temporary keys. */
    revoke: z.boolean().optional(),
    /** Of the metadata service only. */
    version: z.union([z.literal(1), z.literal(2)]).optional(),
    hasAgency: z.boolean().optional(),
  })
  .strict();
