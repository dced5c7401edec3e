import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isLoopback } from '../../lib/loopback.js';
import type { Secret } from '../../lib/secret.js';
import { HttpProblem } from './problem.js';

/** A header each: browsers look at the first challenge of a header only, and know Basic. */
const CHALLENGE = {
  'www-authenticate': ['Bearer realm="cfw-job-poller"', 'Basic realm="cfw-job-poller", charset="UTF-8"'],
};

/**
 * Rejects requests that may not come in. It guards every path but the open ones, also paths that do not exist.
 *
 * With a token, the client must show it: `Authorization: Bearer`, or Basic with the token as the password, which browsers
 * can. Without one we listen on loopback only, and every program on the machine may come in. Web pages may not: neither by a
 * host name of theirs that leads to loopback (DNS rebinding) nor by a form that they send from elsewhere.
 *
 * @throws {HttpProblem}
 */
export function guard({ headers, method }: IncomingMessage, token: Secret | undefined): void {
  const { host = '' } = headers;
  if (token === undefined) {
    if (!isLoopback(hostNameOf(host))) {
      throw new HttpProblem(
        421,
        'without HTTP_TOKEN the Host header must name loopback (127.0.0.1, [::1] or localhost); or set HTTP_TOKEN',
      );
    }
  } else if (!shows(headers.authorization, token.reveal())) {
    const wrong = headers.authorization === undefined ? 'a token is needed' : 'this is not the token';
    throw new HttpProblem(
      401,
      `${wrong}: send "Authorization: Bearer" with HTTP_TOKEN, or HTTP Basic with it as the password`,
      { headers: CHALLENGE },
    );
  }
  const { origin } = headers;
  if (method !== 'GET' && method !== 'HEAD' && origin !== undefined && hostOf(origin) !== host) {
    throw new HttpProblem(403, 'pages of other origins may not send requests here');
  }
}

function shows(authorization: string | undefined, token: string): boolean {
  const [, scheme = '', value = ''] = /^(bearer|basic) +(\S+) *$/i.exec(authorization ?? '') ?? [];
  if (scheme.toLowerCase() === 'bearer') return isEqual(value, token);
  if (scheme.toLowerCase() !== 'basic') return false;
  // RFC 7617: user and password are joined by the first colon.
  const pair = Buffer.from(value, 'base64').toString('utf8');
  return pair.includes(':') && isEqual(pair.slice(pair.indexOf(':') + 1), token);
}

/** Takes the same time whatever the difference is; hashes have the same length whatever the texts have. */
function isEqual(given: string, wanted: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(given), hash(wanted));
}

/** A Host header without its port. */
function hostNameOf(host: string): string {
  return host.replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1');
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}
