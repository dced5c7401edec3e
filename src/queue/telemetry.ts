// Under another name: bundles of esbuild's that are ES modules have a createRequire of their own by their users' banners.
import { createRequire as createOwnRequire } from 'node:module';
import { SpanKind, type Telemetry, TelemetryAttributes, trace } from 'bullmq';
import { VERSION } from '../lib/version.js';
import type { Taken } from './store.js';

/** Under this every copy of `@opentelemetry/api` 1.x finds what has been set up in the process. */
const OPENTELEMETRY = Symbol.for('opentelemetry.js.api.1');

/** An option for a queue; empty if there is none. */
export interface HostTelemetry {
  readonly telemetry?: Telemetry;
}

/**
 * BullMQ's hook for OpenTelemetry, as an option for a queue, if tracing is set up in this process.
 * Else it is empty, and nothing is loaded.
 */
export function hostTelemetry(): HostTelemetry {
  const host = (globalThis as { [OPENTELEMETRY]?: { readonly trace?: unknown } })[OPENTELEMETRY];
  if (host?.trace === undefined) return {};
  const libraries = loadLibraries();
  if (libraries === undefined) return {};
  const { ROOT_CONTEXT, BullMQOtel } = libraries;
  const { tracer, contextManager } = new BullMQOtel({ tracerName: 'cfw-job-poller', version: VERSION });
  return {
    telemetry: {
      tracer,
      contextManager: {
        active: () => contextManager.active(),
        with: (context, callback) => contextManager.with(context, callback),
        getMetadata: (context) => contextManager.getMetadata(context),
        // It comes from any producer. Where it throws, BullMQ's main loop ends, and the job comes back to end the next one.
        fromMetadata: (active, metadata) => {
          try {
            return contextManager.fromMetadata(active, metadata);
          } catch {
            return active;
          }
        },
        // Without it, BullMQ's check for stalled jobs is one trace for as long as the process lives.
        root: () => ROOT_CONTEXT,
      },
    },
  };
}

/** Works on a job in the trace of its producer, as BullMQ's worker does. */
export async function inTraceOf<T>(
  { id, name, opts }: Taken,
  { telemetry }: HostTelemetry,
  queueName: string,
  work: () => Promise<T>,
): Promise<T> {
  // BullMQ's own types do not have that there may be none.
  if (telemetry === undefined) return await work();
  return await trace(
    telemetry,
    SpanKind.CONSUMER,
    queueName,
    'process',
    queueName,
    async (span) => {
      span?.setAttributes({ [TelemetryAttributes.JobId]: id, [TelemetryAttributes.JobName]: name });
      return await work();
    },
    opts.telemetry?.metadata,
  );
}

/** In a bundle they are not to be had, unless they are installed beside it; a service must run without its traces, too. */
function loadLibraries() {
  try {
    const require = createOwnRequire(import.meta.url);
    const { ROOT_CONTEXT } = require('@opentelemetry/api') as typeof import('@opentelemetry/api');
    const { BullMQOtel } = require('bullmq-otel') as typeof import('bullmq-otel');
    return { ROOT_CONTEXT, BullMQOtel };
  } catch {
    return undefined;
  }
}
