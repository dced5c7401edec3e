import * as z from 'zod';
import { type SimulatedAccessKey, SimulatedKeys } from './access-key.js';
import { actOut, type Fault } from './faults.js';
import { type SimulatorReply, type SimulatorRequest, SimulatorServer } from './http.js';
import { SimulatedIam } from './iam.js';
import { type Drawing, type JobScript, jobScriptSchema, SimulatedJob } from './jobs.js';
import { createSources, type SimulatedSources, serveSources } from './sources.js';

/** How the simulator behaves. */
export interface SimulatorOptions extends Partial<Drawing> {
  /** Port on loopback; 0 picks a free one. @default 0 */
  readonly port?: number;
  /** A ready token that it accepts. @default 'simulator-token' */
  readonly token?: string;
  /** Draws what goes wrong with a call, where its job's script has nothing. */
  readonly drawFault?: () => Fault | undefined;
  /** Sees each call of the job API before it is answered. */
  readonly onCall?: (call: Pick<SimulatorRequest, 'method' | 'url' | 'headers'>) => void;
}

/** A running simulator. */
export interface Simulator {
  /** Base URL, such as `http://127.0.0.1:8081`: what `CFW_ENDPOINT` takes. */
  readonly url: string;
  /** What `CFW_AUTH_TOKEN` takes; another one can be set. */
  token: string;
  /** IAM, under `{url}/v3`: what `OS_AUTH_URL` takes. */
  readonly iam: SimulatedIam;
  /** The permanent key whose signatures it accepts. */
  readonly key: SimulatedAccessKey;
  /** That key, and the temporary ones that its sources have issued. */
  readonly keys: SimulatedKeys;
  /** Where temporary keys come from: metadata service, pod identity, OpenID Connect, roles. */
  readonly sources: SimulatedSources;
  /** Makes a job that behaves as scripted. */
  addJob(script: JobScript): SimulatedJob;
  /** All jobs, oldest first. */
  jobs(): readonly SimulatedJob[];
  /** Calls of the job API so far, refused ones included. */
  calls(): number;
  stop(): Promise<void>;
}

interface JobPath {
  projectId: string;
  jobId: string;
}

/** Starts a stand-in for CFW on loopback. It keeps everything in memory. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { port = 0, onCall, drawFault } = options;
  const iam = new SimulatedIam();
  const keys = new SimulatedKeys();
  const sources = createSources();
  const drawing: Drawing = {
    medianMs: options.medianMs ?? 5_000,
    sigma: options.sigma ?? 0.35,
    failureShare: options.failureShare ?? 0.1,
    random: options.random ?? Math.random,
  };
  const jobs = new Map<string, SimulatedJob>();
  let calls = 0;

  const addJob = (script: JobScript) => {
    const job = new SimulatedJob(script, drawing);
    jobs.set(`${job.projectId}/${job.jobId}`, job);
    return job;
  };

  const server = new SimulatorServer((error, reply) => {
    const message = error instanceof z.ZodError ? z.prettifyError(error) : error.message;
    return reply
      .code(error instanceof z.ZodError ? 400 : (error.statusCode ?? 500))
      .send({ error_code: 'CFW.00200001', error_msg: message });
  });

  const signatureProblem = (request: SimulatorRequest): string | undefined =>
    keys.problem({
      method: request.method,
      url: new URL(request.url, `http://${request.headers.host}`),
      headers: request.headers,
      body: request.rawBody,
    });

  /** Answers what the gateway answers to whom it does not know; false if it knows. */
  const refuse = (request: SimulatorRequest<{ projectId: string }>, reply: SimulatorReply): boolean => {
    const answer = (httpStatus: number, error_code: string, error_msg: string) => {
      void reply.code(httpStatus).send({ error_code, error_msg });
      return true;
    };
    const { headers, params } = request;
    if (headers.authorization !== undefined) {
      const problem = signatureProblem(request);
      return problem !== undefined && answer(401, 'APIGW.0301', `Incorrect IAM authentication information: ${problem}`);
    }
    const token = String(headers['x-auth-token'] ?? '');
    if (token === simulator.token) return false;
    const verdict = iam.check(token, params.projectId);
    if (verdict === 'other-project') return answer(403, 'APIGW.0302', 'The token is for another project');
    return (
      verdict === 'bad' && answer(401, 'APIGW.0301', 'Incorrect IAM authentication information: decrypt token fail')
    );
  };

  // The vendor's API.

  server.get('/v3/:projectId/jobs/:jobId', async (request: SimulatorRequest<JobPath>, reply) => {
    calls += 1;
    onCall?.(request);
    if (refuse(request, reply)) return reply;
    // SDKs of the vendor send it with a charset, too.
    if (!/^application\/json *(;|$)/.test(request.headers['content-type'] ?? '')) {
      return reply.code(400).send({ error_code: 'APIGW.0106', error_msg: 'Content-Type must be application/json' });
    }
    const job = jobs.get(`${request.params.projectId}/${request.params.jobId}`);
    if (job === undefined) {
      return reply.code(404).send({ error_code: 'CFW.00200005', error_msg: 'The object does not exist.' });
    }
    const fault = job.call() ?? drawFault?.();
    return fault === undefined ? job.answer() : await actOut(fault, reply, job.answer());
  });

  server.post(
    '/v2/:projectId/firewall',
    async (request: SimulatorRequest<{ projectId: string }, { name?: string } | null>, reply) => {
      if (refuse(request, reply)) return reply;
      const { jobId } = addJob({ projectId: request.params.projectId });
      return { job_id: jobId, data: { id: jobId, name: request.body?.name ?? '' } };
    },
  );

  iam.serve(server, signatureProblem);
  serveSources(server, { sources, keys, iam, signatureProblem });

  serveControl(server, { iam, jobs, addJob, calls: () => calls });

  const simulator: Simulator = {
    url: '',
    token: options.token ?? 'simulator-token',
    iam,
    key: keys.permanent,
    keys,
    sources,
    addJob,
    jobs: () => [...jobs.values()],
    calls: () => calls,
    stop: async () => {
      await server.close();
    },
  };
  const url = await server.listen({ host: '127.0.0.1', port });
  iam.serviceUrl = url;
  return Object.assign(simulator, { url });
}

interface Controlled {
  readonly iam: SimulatedIam;
  readonly jobs: ReadonlyMap<string, SimulatedJob>;
  readonly addJob: (script: JobScript) => SimulatedJob;
  readonly calls: () => number;
}

/** The control surface: scripts jobs, and shows what was asked for. */
function serveControl(server: SimulatorServer, { iam, jobs, addJob, calls }: Controlled): void {
  server.post('/simulator/jobs', async (request, reply) => {
    return reply.code(201).send(addJob(jobScriptSchema.parse(request.body)));
  });
  server.get('/simulator/jobs', async () => ({ calls: calls(), jobs: [...jobs.values()] }));
  server.get('/simulator/jobs/:projectId/:jobId', async ({ params }: SimulatorRequest<JobPath>, reply) => {
    return jobs.get(`${params.projectId}/${params.jobId}`) ?? reply.code(404).send({ error_msg: 'no such job' });
  });
  server.put('/simulator/iam', async ({ body }, reply) => {
    iam.control(body);
    return reply.code(204).send();
  });
}
