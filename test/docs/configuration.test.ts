import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { environmentSchema, SECRET_VARIABLES } from '../../src/config/variables.js';

const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
const example = readFileSync(new URL('../../.env.example', import.meta.url), 'utf8');
const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

/** The variables of a document's tables, with their defaults and what is said of them. */
function rows(text: string) {
  return [...text.matchAll(/^\| (`[A-Z_0-9]+`[^|]*) \| ([^|]+) \| (.+) \|$/gm)].flatMap(
    ([, names = '', shown = '', says = '']) =>
      [...names.matchAll(/`([A-Z_0-9]+)`/g)].map(([, name = '']) => ({
        name,
        shown,
        says,
        shares: names.includes(','),
      })),
  );
}

const names = Object.keys(environmentSchema.shape) as (keyof typeof environmentSchema.shape)[];

/** What the schema makes of a default as it is written in a table. */
const meaning = (name: keyof typeof environmentSchema.shape, shown: string) =>
  environmentSchema.shape[name].safeParse(/^`(.*)`$/.exec(shown)?.[1]).data;

describe('docs/configuration.md', () => {
  const table = rows(page);

  it('has each variable of the schema exactly once, and no other, as .env.example has', () => {
    const sorted = [...names].sort();
    expect(table.map(({ name }) => name).sort()).toEqual(sorted);
    expect([...example.matchAll(/^#?([A-Z][A-Z0-9_]*)=/gm)].map(([, name]) => name).sort()).toEqual(sorted);
  });

  it.each(names)('gives the default of %s', (name) => {
    const { shown = '' } = table.find((row) => row.name === name) ?? {};
    expect(meaning(name, shown)).toEqual(environmentSchema.shape[name].safeParse(undefined).data);
  });

  it.each(SECRET_VARIABLES)('says that %s is a secret', (name) => {
    expect(table.find((row) => row.name === name)?.says).toMatch(/\b[Ss]ecrets?\b/);
  });
});

describe('the settings in README.md', () => {
  it.each(rows(readme).filter(({ shares }) => !shares))('$name has its default', ({ name, shown }) => {
    expect(names).toContain(name);
    const known = name as keyof typeof environmentSchema.shape;
    expect(meaning(known, shown)).toEqual(environmentSchema.shape[known].safeParse(undefined).data);
  });
});
