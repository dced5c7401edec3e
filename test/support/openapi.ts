import { expect } from '@jest/globals';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { openapi } from '../../src/ops/http/openapi.js';

/** An answer of a sidecar, as it came over the wire. */
export interface HttpAnswer {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly status: number;
  readonly contentType: string | undefined;
  readonly text: string;
}

interface Response {
  readonly content?: Readonly<Record<string, { readonly schema?: { readonly $ref: string } }>>;
}
type Operation = { readonly responses: Readonly<Record<string, Response>> };
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

const DOCUMENT = openapi('0.0.0') as Document;
const PATHS = Object.entries(DOCUMENT.paths).map(([path, operations]) => ({
  pattern: new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`),
  operations,
}));
/** What an answer may be that no operation of the document has given. */
const WITHOUT_OPERATION = [400, 401, 403, 404, 405, 421];

const ajv = new Ajv2020({ strict: true, strictRequired: true, allowUnionTypes: true, allErrors: true });
(addFormats as unknown as (to: Ajv2020) => void)(ajv);
ajv.addVocabulary(['components']);
ajv.addSchema({ $id: 'document', components: closed(DOCUMENT.components) });

/**
 * Holds an answer to the OpenAPI document: its status, content type and body must be there, and it must have no field that the
 * document does not know.
 */
export function expectAsDocumented({ method, path, status, contentType, text }: HttpAnswer): void {
  const [pathname = ''] = path.split('?');
  const { operations = {} } = PATHS.find(({ pattern }) => pattern.test(pathname)) ?? {};
  const operation = operations[method === 'HEAD' ? 'get' : method.toLowerCase()];
  const [type] = contentType?.split(';') ?? [];
  const response = operation?.responses[status];
  const told = { answer: `${method} ${path}: ${status} ${type}`, text: text.slice(0, 500) };
  if (response === undefined) {
    // Pages, and the document itself, are not in it.
    if (operation === undefined && (status < 400 || !pathname.startsWith('/v1/'))) return;
    expect({ ...told, isDocumented: operation === undefined && WITHOUT_OPERATION.includes(status) }).toEqual({
      ...told,
      isDocumented: true,
    });
  }
  const content = response?.content ?? { 'application/problem+json': PROBLEM };
  const media = content[type ?? ''];
  expect({ ...told, types: Object.keys(content), fits: media !== undefined }).toMatchObject({ ...told, fits: true });
  if (media?.schema === undefined || method === 'HEAD') return;
  const fits = ajv.getSchema(`document${media.schema.$ref}`) as ValidateFunction;
  expect({ ...told, fits: fits(JSON.parse(text)), errors: fits.errors }).toEqual({ ...told, fits: true, errors: null });
}

const PROBLEM = { schema: { $ref: '#/components/schemas/Problem' } };

/** The document lets later fields pass; a test must not. */
function closed<T>(schema: T): T {
  if (Array.isArray(schema)) return schema.map(closed) as T;
  if (typeof schema !== 'object' || schema === null) return schema;
  const copy = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)]));
  const isObject = copy.type === 'object' && copy.properties !== undefined && copy.additionalProperties === undefined;
  return (isObject ? { ...copy, additionalProperties: false } : copy) as T;
}
