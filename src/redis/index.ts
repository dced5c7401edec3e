export { type AskOptions, answered, ask, reconnect, SILENT_MS } from './ask.js';
export { checkConnection, isCluster, type RedisClient, type RedisConnection } from './client.js';
export { commandRedis, serviceRedis, withCommandRedis } from './connect.js';
export { copyConnection } from './copy.js';
export { InvalidOptionError, isDemoted, isPassing, NotConnectedError, RedisUnavailableError } from './errors.js';
export { inspectOnceThere, inspectRedis, type RedisFinding, UnfitRedisError } from './fitness.js';
export { defineScript } from './script.js';
