import { getProxyForUrl } from 'proxy-from-env';
import { isLoopback } from '../lib/loopback.js';
import { Secret } from '../lib/secret.js';
import { ConfigError } from './error.js';

/**
 * The proxy that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name for a URL, in the form curl knows; what is on
 * loopback is asked for without one.
 */
export function proxyFor(address: string): Secret | undefined {
  const proxy = isLoopback(new URL(address).hostname) ? '' : getProxyForUrl(address);
  if (proxy === '') return undefined;
  if (!URL.canParse(proxy) || !/^https?:$/.test(new URL(proxy).protocol)) {
    throw new ConfigError([
      'HTTPS_PROXY (or HTTP_PROXY, ALL_PROXY): the value (not shown) does not fit; allowed is http://[user:password@]host:port',
    ]);
  }
  return new Secret(proxy);
}
