import { randomBytes, timingSafeEqual } from 'node:crypto';
import { sign } from '../cfw/index.js';

/** The gateway refuses signatures that are older or newer than this, in milliseconds. */
const MAX_AGE_MS = 900_000;
/** More wrong signatures in a row than this lock the key, for this long. */
const MAX_WRONG = 5;
const LOCK_MS = 300_000;
const AUTHORIZATION = /^SDK-HMAC-SHA256 Access=(\S+), SignedHeaders=(\S+), Signature=([0-9a-f]{64})$/;

/** A request whose signature is checked. */
export interface SignedCall {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, unknown>>;
  /** As it was sent; the signature covers it. */
  readonly body: Uint8Array;
}

/** A stand-in for the gateway's check of AK/SK signatures: one key. */
export class SimulatedAccessKey {
  readonly accessKey: string;
  secretKey: string;
  /** A temporary key has one. */
  securityToken: string | undefined;
  /** Signatures that were checked, right and wrong ones. */
  readonly checked = { right: 0, wrong: 0 };
  #wrongInARow = 0;
  #lockedUntil = 0;

  constructor({ accessKey = 'SIMULATORAK', secretKey = 'simulator-secret-key' } = {}) {
    this.accessKey = accessKey;
    this.secretKey = secretKey;
  }

  get isLocked(): boolean {
    return Date.now() < this.#lockedUntil;
  }

  /** @returns what is wrong with the request's signature, undefined if nothing is. */
  problem(call: SignedCall): string | undefined {
    const problem = this.isLocked ? 'the key is locked' : this.#problem(call);
    if (problem === undefined) {
      this.checked.right += 1;
      this.#wrongInARow = 0;
    } else {
      this.checked.wrong += 1;
      this.#wrongInARow += 1;
      if (this.#wrongInARow > MAX_WRONG) this.#lockedUntil = Date.now() + LOCK_MS;
    }
    return problem;
  }

  #problem({ method, url, headers, body }: SignedCall): string | undefined {
    const match = AUTHORIZATION.exec(String(headers.authorization));
    if (match === null) return 'the Authorization header is malformed';
    const [, accessKey, signedHeaders = '', given = ''] = match;
    if (accessKey !== this.accessKey) return 'the access key does not exist';
    if (this.securityToken !== undefined && headers['x-security-token'] !== this.securityToken) {
      return 'the security token is wrong or missing';
    }
    const date = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(String(headers['x-sdk-date']));
    const names = signedHeaders.split(';');
    if (date === null || !names.includes('x-sdk-date')) return 'X-Sdk-Date is missing or not signed';
    const [, year, month, day, hour, minute, second] = date.map(Number);
    const signedAt = Date.UTC(year ?? 0, (month ?? 1) - 1, day, hour, minute, second);
    if (Math.abs(Date.now() - signedAt) > MAX_AGE_MS) {
      return `the signature is expired: signed ${new Date(signedAt).toISOString()}, now ${new Date().toISOString()}`;
    }
    const signed = Object.fromEntries(names.map((name) => [name, String(headers[name] ?? '')]));
    const { signature } = sign(this.secretKey, { method, url, headers: signed, body });
    return timingSafeEqual(Buffer.from(signature), Buffer.from(given)) ? undefined : 'the signature is wrong';
  }
}

/** The permanent key, and the temporary ones that sources have issued. */
export class SimulatedKeys {
  readonly permanent = new SimulatedAccessKey();
  /** Temporary keys that were issued so far. */
  issued = 0;
  readonly #temporary = new Map<string, { key: SimulatedAccessKey; expiresAt: number }>();

  /** @returns a temporary key in the form of IAM. */
  issue(lifeMs: number): { access: string; secret: string; securitytoken: string; expires_at: string } {
    this.issued += 1;
    const access = `TEMPORARY${randomBytes(8).toString('hex').toUpperCase()}`;
    const secret = randomBytes(20).toString('hex');
    const key = new SimulatedAccessKey({ accessKey: access, secretKey: secret });
    key.securityToken = randomBytes(300).toString('base64');
    const expiresAt = Date.now() + lifeMs;
    this.#temporary.set(access, { key, expiresAt });
    return { access, secret, securitytoken: key.securityToken, expires_at: new Date(expiresAt).toISOString() };
  }

  /** Secret keys and security tokens of the temporary keys. */
  get secrets(): readonly string[] {
    return [...this.#temporary.values()].flatMap(({ key }) => [key.secretKey, key.securityToken ?? '']);
  }

  /** Ends all temporary keys at once. */
  revoke(): void {
    this.#temporary.clear();
  }

  /** @returns what is wrong with the request's signature, undefined if nothing is. */
  problem(call: SignedCall): string | undefined {
    const [, accessKey = ''] = AUTHORIZATION.exec(String(call.headers.authorization)) ?? [];
    const temporary = this.#temporary.get(accessKey);
    if (temporary === undefined) return this.permanent.problem(call);
    return Date.now() >= temporary.expiresAt ? 'the temporary key has expired' : temporary.key.problem(call);
  }
}
