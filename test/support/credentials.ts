import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kindEnvironments, type Simulator, type SimulatorOptions } from '../../src/simulator/index.js';
import { PROJECT, type useCleanUp } from './sidecar.js';

/** A simulator, and the environment of each kind of credentials at it. */
export async function simulatorWithKinds(
  start: ReturnType<typeof useCleanUp>,
  options: SimulatorOptions = {},
): Promise<{ simulator: Simulator; envOf: (kind: string) => Record<string, string> }> {
  const simulator = await start.simulator(options);
  simulator.iam.applicationCredential.projectId = PROJECT;
  const folder = await mkdtemp(join(tmpdir(), 'cfw-job-poller-kinds-'));
  start.onEnd(() => rm(folder, { recursive: true, force: true }));
  const kinds = await kindEnvironments(simulator, folder);
  return {
    simulator,
    envOf: (kind) => {
      const found = kinds.find((one) => one.kind === kind);
      if (found === undefined) throw new Error(`there is no kind ${kind}`);
      return { ...found.env };
    },
  };
}

/** Kinds whose keys or tokens end and are renewed, with what issues them. */
export const RENEWED_KINDS = [
  'iam',
  'iam, by an application credential',
  'pod-identity',
  'ecs-agency',
  'oidc',
  'cloud',
  'aksk, with a role on top',
] as const;

export const ALL_KINDS = [...RENEWED_KINDS, 'token', 'aksk', 'profile', 'cloud, by an application credential'] as const;

/** What issues the keys or tokens of a kind, with one face. */
export function issuerOf(kind: string, { iam, sources }: Simulator) {
  const source = {
    'pod-identity': sources.podIdentity,
    'ecs-agency': sources.metadata,
    oidc: sources.oidc,
    'aksk, with a role on top': sources.role,
  }[kind];
  return {
    live: (lifeMs: number) => {
      if (source === undefined) iam.tokenLifeMs = lifeMs;
      else source.lifeMs = lifeMs;
    },
    /** Calls to the source: one for each renewal. */
    calls: () => (source ?? iam).calls,
    /** The source drops the next connections. */
    away: (times: number) => (source ?? iam).script([{ fault: 'drop', times }]),
  };
}
