import * as z from 'zod';
import { eventSchema } from './event.js';

/** The JSON Schema of an event's `data`, made from the one schema that the events are read with. */
export function eventDataJsonSchema(): Record<string, unknown> {
  const [completed, failed] = eventSchema.def.options;
  const either = z.discriminatedUnion('status', [completed.shape.data, failed.shape.data]);
  const { $schema, ...schema } = z.toJSONSchema(either, {
    // As readers see it: fields that come in later versions are allowed.
    io: 'input',
    unrepresentable: 'any',
    override: ({ jsonSchema }) => {
      // "format" says it; the pattern is for engines that do not know the format, and is unreadable.
      if (jsonSchema.format === 'date-time') delete jsonSchema.pattern;
    },
  });
  return {
    $schema,
    $id: 'urn:cfw-job-poller:event-data:1',
    title: 'data of the CloudEvents cfw.job.completed and cfw.job.failed',
    ...schema,
  };
}
