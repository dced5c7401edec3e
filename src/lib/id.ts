/** What ids of projects, jobs and watches look like: they become part of a URL and of Redis keys, so nothing else gets in. */
export const ID_PATTERN = /^[A-Za-z0-9_-]{1,64}$/;
