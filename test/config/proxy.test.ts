import { describe, expect, it } from '@jest/globals';
import { proxyFor } from '../../src/config/proxy.js';

const PROXY = 'http://proxy.example.com:3128';
const proxyOf = (url: string, env: Record<string, string>) => proxyFor(url, [], env)?.reveal();

describe('NO_PROXY', () => {
  const isDirect = (noProxy: string, url: string) =>
    proxyOf(url, { HTTP_PROXY: PROXY, HTTPS_PROXY: PROXY, NO_PROXY: noProxy }) === undefined;

  it.each<readonly [string, string]>([
    ['example.test', 'http://example.test'],
    ['example.test', 'https://cfw.example.test'],
    ['.example.test', 'https://cfw.example.test'],
    ['.example.test', 'https://example.test'],
    ['*.example.test', 'https://cfw.example.test'],
    ['EXAMPLE.test', 'https://cfw.Example.TEST'],
    ['example.test.', 'https://cfw.example.test'],
    ['example.test', 'https://cfw.example.test.'],
    ['bücher.test', 'https://xn--bcher-kva.test'],
    ['a.test, example.test', 'https://example.test'],
    ['a.test example.test', 'https://example.test'],
    ['example.test:443', 'https://example.test'],
    ['example.test:81', 'http://cfw.example.test:81'],
    ['*', 'https://example.test'],
    ['a.test,*', 'https://192.0.2.7'],
    ['192.0.2.7', 'https://192.0.2.7'],
    ['192.0.2.0/24', 'https://192.0.2.7'],
    ['10.0.0.0/8,192.0.2.0/24', 'https://192.0.2.7'],
    ['0.0.0.0/0', 'https://192.0.2.7'],
    ['192.0.2.7:443', 'https://192.0.2.7'],
    ['2001:db8::7', 'https://[2001:db8::7]'],
    ['[2001:db8::7]', 'https://[2001:db8::7]'],
    ['2001:DB8:0:0::7', 'https://[2001:db8::7]'],
    ['[2001:db8::7]:443', 'https://[2001:db8::7]'],
    ['2001:db8::/32', 'https://[2001:db8::7]'],
    ['[2001:db8::]/32', 'https://[2001:db8::7]'],
  ])('%s exempts %s', (noProxy, url) => {
    expect(isDirect(noProxy, url)).toBe(true);
  });

  it.each<readonly [string, string]>([
    ['example.test', 'https://myexample.test'],
    ['example.test', 'https://example.test.evil.test'],
    ['cfw.example.test', 'https://example.test'],
    ['example.test:80', 'https://example.test'],
    ['.', 'https://example.test'],
    ['192.0.2.0/24', 'https://192.0.3.7'],
    ['192.0.2.0/24', 'https://[2001:db8::7]'],
    ['0.2.7', 'https://192.0.2.7'],
    ['2001:db8::/32', 'https://[2001:db9::7]'],
    ['192.0.2.7:80', 'https://192.0.2.7'],
    ['192.0.2.0/99', 'https://192.0.2.7'],
    ['192.0.2.0/x', 'https://192.0.2.7'],
    ['', 'https://example.test'],
    [' , ,', 'https://example.test'],
  ])('"%s" does not exempt %s', (noProxy, url) => {
    expect(isDirect(noProxy, url)).toBe(false);
  });
});

describe('the proxy of a URL', () => {
  it('is named by the variable of its scheme, in lower case first, else by ALL_PROXY', () => {
    const [one, other] = ['http://one.test:1', 'http://other.test:2'];
    expect(proxyOf('https://a.test', { HTTPS_PROXY: one, HTTP_PROXY: other })).toBe(one);
    expect(proxyOf('http://a.test', { HTTPS_PROXY: one, HTTP_PROXY: other })).toBe(other);
    expect(proxyOf('https://a.test', { https_proxy: one, HTTPS_PROXY: other })).toBe(one);
    expect(proxyOf('https://a.test', { https_proxy: '', HTTPS_PROXY: other })).toBe(other);
    expect(proxyOf('https://a.test', { all_proxy: one, no_proxy: 'b.test', NO_PROXY: 'a.test' })).toBe(one);
    expect(proxyOf('https://a.test', { HTTP_PROXY: other })).toBeUndefined();
    expect(proxyOf('http://127.0.0.1:8080', { HTTP_PROXY: other })).toBeUndefined();
  });

  it.each<readonly [string, string]>([
    ['proxy.test:3128', 'http://proxy.test:3128'],
    ['HTTP://proxy.test:3128/', 'http://proxy.test:3128'],
    ['https://proxy.test', 'https://proxy.test'],
    ['http://[2001:db8::7]:3128', 'http://[2001:db8::7]:3128'],
  ])('may be written %s', (value, expected) => {
    expect(proxyOf('https://a.test', { HTTPS_PROXY: value })).toBe(expected);
  });

  it.each([
    ['user', 'p@ss/w#rd?'],
    ['us#er', 'p:a:s:s'],
    ['us/er', '100%'],
    ['user', 'p ä\\"<>^`{|}'],
    ['user', ''],
  ])('may have characters in user and password that are not encoded: %s, %s', (user, password) => {
    for (const text of [`${user}:${password}`, `${encodeURIComponent(user)}:${encodeURIComponent(password)}`]) {
      const url = new URL(proxyOf('https://a.test', { HTTPS_PROXY: `http://${text}@proxy.test:3128` }) ?? '');
      expect([url.username, url.password].map(decodeURIComponent)).toEqual([user, password]);
      expect(url.host).toBe('proxy.test:3128');
    }
  });

  it.each([
    'socks5://u:hunter2@proxy.test',
    'http://u:hunter2@',
    'http://u:hunter2@proxy.test:x',
    'http://u:hunter2@a b',
    'u:hunter2@a\\b',
    'http://',
    'http:/proxy.test:3128',
  ])('is refused, with the variable named and the value not shown: %s', (value) => {
    for (const name of ['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY']) {
      const problems: string[] = [];
      expect(proxyFor('https://a.test', problems, { [name]: value })).toBeUndefined();
      expect(problems).toEqual([expect.stringMatching(new RegExp(`^(?=${name} is invalid)(?!.*hunter2)`))]);
    }
  });
});
