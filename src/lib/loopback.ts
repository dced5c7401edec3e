const LOOPBACK_HOST = /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$/;

/** Whether a host name or address never leaves this machine. */
export function isLoopback(host: string): boolean {
  return LOOPBACK_HOST.test(host.toLowerCase());
}
