export { copyConnection, isCluster, type RedisClient } from './client.js';
export { commandRedis, RedisUnreachableError, serviceRedis } from './connect.js';
export { inspectOnceThere, inspectRedis, type RedisFinding, UnfitRedisError } from './fitness.js';
export { defineScript } from './script.js';
