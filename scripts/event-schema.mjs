// Writes the JSON Schema of the events' data, from the schema that the built package reads them with (npm run schema).
import { writeFileSync } from 'node:fs';
import { eventDataJsonSchema } from '../dist/events/json-schema.js';

const path = new URL('../schemas/event-data.schema.json', import.meta.url);
writeFileSync(path, `${JSON.stringify(eventDataJsonSchema(), null, 2)}\n`);
