import * as z from 'zod';
import type { HttpClient } from '../http.js';
import { CredentialError } from './credential.js';
import { askToken, type KeystoneLogin, type KeystoneScope, secretOf } from './keystone.js';

/** Types under which clouds list CFW, best first. */
const SERVICE_TYPES = ['cfw', 'cfwv3', 'cfwv2', 'cfwv1'];

const catalogueResponse = z.object({
  token: z.object({
    catalog: z
      .array(
        z.object({
          type: z.string(),
          endpoints: z
            .array(
              z.object({
                interface: z.string(),
                url: z.string(),
                region: z.string().nullish(),
                region_id: z.string().nullish(),
              }),
            )
            .catch([]),
        }),
      )
      .catch([]),
  }),
});

/** What Keystone knows, so that it need not be configured. */
export interface CatalogueFind {
  /** Base URL of CFW; undefined if the catalogue has none. */
  readonly endpoint: string | undefined;
  /** The project that the token is scoped to. */
  readonly projectId: string | undefined;
}

/**
 * Asks for one token with its catalogue, and takes the public endpoint of CFW from it: in the region that is
 * given, or in any if none is.
 *
 * @throws {CredentialError}
 */
export async function findInCatalogue(
  login: KeystoneLogin,
  http: HttpClient,
  { scope, region }: { scope: KeystoneScope | undefined; region: string | undefined },
): Promise<CatalogueFind> {
  const { answer, projectId } = await askToken(login, http, { scope, catalog: true }).catch((error: Error) => {
    // No client stands in between that would keep the password out of what is reported.
    error.message = error.message.replaceAll(secretOf(login).reveal(), '[secret]');
    throw error;
  });
  const { success, data } = catalogueResponse.safeParse(answer.body);
  if (!success) {
    throw new CredentialError({
      code: 'MALFORMED_RESPONSE',
      httpStatus: answer.httpStatus,
      message: 'the token of IAM comes without a catalogue',
      refused: false,
    });
  }
  const endpoints = SERVICE_TYPES.flatMap((type) =>
    data.token.catalog.filter((service) => service.type === type).flatMap((service) => service.endpoints),
  ).filter((endpoint) => endpoint.interface === 'public' && URL.canParse(endpoint.url));
  const inRegion = endpoints.find((endpoint) => region === endpoint.region_id || region === endpoint.region);
  const url = (inRegion ?? (region === undefined ? endpoints[0] : undefined))?.url;
  return { endpoint: url === undefined ? undefined : withoutProject(url), projectId };
}

/** `https://cfw.example.com/v3/{project}` names the project; the base URL must not. */
const withoutProject = (url: string) => url.replace(/\/+$/, '').replace(/\/v\d+(\.\d+)?(\/[^/]+)?$/, '');
