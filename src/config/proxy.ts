import { BlockList, isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { isLoopback } from '../lib/loopback.js';
import { Secret } from '../lib/secret.js';

/** Environment variables; an empty one counts as not set. */
type Variables = Readonly<Record<string, string | undefined>>;

/**
 * The proxy that `HTTPS_PROXY` or `HTTP_PROXY`, else `ALL_PROXY`, names for a URL, unless `NO_PROXY` exempts its host. Names
 * may be in lower case, which goes first. Loopback is never asked for through a proxy.
 *
 * @param problems gets one that names the variable, and never its value, if that is no URL of an http or https proxy.
 * @returns a URL that can be parsed, user and password percent-encoded.
 */
export function proxyFor(address: string, problems: string[], env: Variables = process.env): Secret | undefined {
  const { protocol, hostname, port } = new URL(address);
  if (isLoopback(hostname)) return undefined;
  const scheme = protocol === 'https:' ? 'https' : 'http';
  const found = variable(env, `${scheme}_proxy`) ?? variable(env, 'all_proxy');
  if (found === undefined) return undefined;
  const noProxy = variable(env, 'no_proxy')?.value ?? '';
  if (isExempt(hostname, port === '' ? (scheme === 'https' ? 443 : 80) : Number(port), noProxy)) return undefined;
  const url = parseProxy(found.value);
  if (url !== undefined) return new Secret(url);
  const problem = `${found.name} is invalid (its value is not shown): expected http://[user:password@]host:port, or https:// for a proxy that is itself reached by TLS`;
  // CFW and IAM mostly have the same one.
  if (!problems.includes(problem)) problems.push(problem);
  return undefined;
}

function variable(env: Variables, name: string): { name: string; value: string } | undefined {
  for (const spelling of [name, name.toUpperCase()]) {
    const value = env[spelling]?.trim();
    if (value !== undefined && value !== '') return { name: spelling, value };
  }
  return undefined;
}

/** The last @ ends the password, whatever that holds: passwords are written into this variable as they are. */
const PROXY = /^(?:([a-z][a-z\d+.-]*):\/\/)?(?:(.*)@)?([^@/?#]+)(?:[/?#][^@]*)?$/is;

function parseProxy(value: string): string | undefined {
  // Without a scheme it is an http proxy, as for curl, also for https URLs.
  const [, scheme = 'http', userinfo, host = ''] = PROXY.exec(value) ?? [];
  let credentials = '';
  if (userinfo !== undefined) {
    const [user = '', ...password] = userinfo.split(':').map(decoded);
    credentials = `${encodeURIComponent(user)}:${encodeURIComponent(password.join(':'))}@`;
  }
  const url = `${scheme.toLowerCase()}://${credentials}${host}`;
  const isProxy = /^https?$/i.test(scheme) && !/[\s\\]|:$/.test(host) && URL.canParse(url);
  return isProxy ? url : undefined;
}

/** What is not percent-encoded is taken as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Host, or network, and port; an IPv6 address has brackets if a port follows. */
const ENTRY = /^(?:\[([^\]]+)\]|([^:]+))(\/\d+)?(?::(\d+))?$/;

/**
 * Whether `NO_PROXY` exempts a host, as curl reads it: a domain stands for itself and its subdomains, with a leading dot or
 * without; an address may have a prefix length; `*` stands for every host. An entry may name a port, and begin with `*`.
 * What is none of these exempts nothing.
 */
function isExempt(hostname: string, port: number, noProxy: string): boolean {
  const host = bare(hostname);
  return noProxy.split(/[\s,]+/).some((entry) => {
    if (entry === '') return false;
    if (isIP(entry.split('/')[0] ?? '') === 6) return isWithin(host, entry);
    const [, bracketed, plain, prefix = '', entryPort] = ENTRY.exec(entry) ?? [];
    const name = bracketed ?? plain;
    if (name === undefined || (entryPort !== undefined && Number(entryPort) !== port)) return false;
    if (name === '*') return true;
    if (isIP(host) !== 0 || isIP(name.split('/')[0] ?? '') !== 0) return isWithin(host, name + prefix);
    // "*example.com" has always stood for "myexample.com" too.
    if (/^\*[^.]/.test(name)) return host.endsWith(bare(name.slice(1)));
    const domain = bare(name.replace(/^\*?\./, ''));
    return domain !== '' && (host === domain || host.endsWith(`.${domain}`));
  });
}

/** Brackets of IPv6, the dot at the end of an absolute name, and capitals mean nothing. */
function bare(host: string): string {
  const name = host.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  return domainToASCII(name) || name.toLowerCase();
}

function isWithin(host: string, network: string): boolean {
  const [address = '', prefix] = network.split('/');
  const family = isIP(address);
  if (isIP(host) === 0 || family === 0) return false;
  const list = new BlockList();
  try {
    list.addSubnet(address, prefix === undefined ? (family === 6 ? 128 : 32) : Number(prefix), `ipv${family as 4 | 6}`);
  } catch {
    return false;
  }
  return list.check(host, `ipv${isIP(host) as 4 | 6}`);
}
