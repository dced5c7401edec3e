/** A request that is about to be sent. */
export interface OutgoingRequest {
  readonly method: 'GET';
  readonly url: URL;
  /** The project whose resource is asked for; tokens are scoped to one. */
  readonly projectId: string;
}

/** Proves who we are. One kind is configured; the client knows none of them. */
export interface Credential {
  /** The headers that authenticate this one request; they are asked for anew for each attempt. */
  authenticate(request: OutgoingRequest): Promise<Readonly<Record<string, string>>>;
}
