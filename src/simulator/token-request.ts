import * as z from 'zod';

/** What names a domain or a project. */
export const reference = z.union([z.object({ id: z.string() }), z.object({ name: z.string() })]);
/** What names a user. */
export const userName = z.union([z.object({ id: z.string() }), z.object({ name: z.string(), domain: reference })]);
export const userSchema = userName.and(z.object({ password: z.string() }));
/** What Keystone v3 takes for a token. */
export const tokenRequest = z.object({
  auth: z.object({
    identity: z.union([
      z.object({ methods: z.tuple([z.literal('password')]), password: z.object({ user: userSchema }) }),
      z.object({ methods: z.tuple([z.literal('token')]), token: z.object({ id: z.string() }) }),
      z.object({
        methods: z.tuple([z.literal('application_credential')]),
        application_credential: z.union([
          z.object({ id: z.string(), secret: z.string() }),
          z.object({ name: z.string(), secret: z.string(), user: userName }),
        ]),
      }),
    ]),
    scope: z
      .union([
        z.object({ project: reference }),
        z.object({ domain: reference }),
        z.literal('unscoped'),
        z.object({ unscoped: z.object({}) }),
      ])
      .optional(),
  }),
});

/** The project that a token is asked for; undefined if there is none. */
export function projectAskedFor(body: unknown): string | undefined {
  const scope = tokenRequest.safeParse(body).data?.auth.scope;
  if (typeof scope !== 'object' || !('project' in scope)) return undefined;
  return 'id' in scope.project ? scope.project.id : scope.project.name;
}
