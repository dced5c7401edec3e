/** An option is out of bounds or of the wrong kind; the message names it and says what was expected. */
export class InvalidOptionError extends RangeError {
  override readonly name = 'InvalidOptionError';
  readonly code = 'INVALID_OPTION';
  /** Name of the option. */
  readonly option: string;

  constructor(option: string, message: string) {
    super(message);
    this.option = option;
  }
}

/** Redis cannot be reached, or it refused everything for as long as was waited; `cause` is the last error. */
export class RedisUnavailableError extends Error {
  override readonly name = 'RedisUnavailableError';
  readonly code = 'REDIS_UNAVAILABLE';
}

/** What Redis answers while it starts, fails over or runs a long script. A script of Redis before 7.0 hides it behind ": -". */
const PASSING_REPLY = /(?:^|: -)(?:UNBLOCKED|READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|BUSY)(?= |$)/;
/** What ioredis says when a connection broke, or when it has not found the right node of a cluster. */
const PASSING_CLIENT =
  /^(?:Connection is closed|Command aborted due to connection close|Too many Cluster redirections|Failed to refresh)/;
/** What only a server says that is not the master any more. */
const DEMOTED = /(?:^|: -)(?:UNBLOCKED|READONLY|MASTERDOWN)(?= |$)/;

/** Whether a command that failed so may succeed later, though nothing is changed. */
export function isPassing(error: unknown): boolean {
  const { message } = error as Error;
  return PASSING_REPLY.test(message) || PASSING_CLIENT.test(message) || error instanceof NotConnectedError;
}

/** Whether the server is no master any more; reconnecting may lead to the one that is. */
export function isDemoted(error: unknown): boolean {
  return DEMOTED.test((error as Error).message);
}

/** A command was not sent, since there is no connection at this moment. */
export class NotConnectedError extends Error {
  override readonly name = 'NotConnectedError';
}
