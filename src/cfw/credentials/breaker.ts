import { onAbort } from '../on-abort.js';
import type { CredentialError } from './credential.js';

/** Why calls are withheld. */
export type Refusal = Pick<CredentialError, 'code' | 'httpStatus' | 'message'>;

/** The caller no longer waits for a permit. */
export const GIVEN_UP: Refusal = { code: 'ABORTED', httpStatus: null, message: 'the call was given up' };

/** The state of the credentials, for readiness and logs. */
export type CredentialState =
  | { readonly state: 'unproven' | 'accepted'; readonly since: number }
  | { readonly state: 'refused'; readonly since: number; readonly refusal: Refusal; readonly probeAt: number };

/** Permission to make one call; it must be settled once. */
export interface Permit {
  /** CFW took the credential: it answered about the job, or about what this identity may do. */
  accepted(): void;
  /** CFW, or the source of the credential, refused it. */
  refused(refusal: Refusal, pausesMs: readonly number[]): void;
  /** The call taught nothing about the credential: no answer, or one from a gateway that is down. */
  unknown(why: Refusal): void;
}

/**
 * A circuit breaker that stands before every kind of credentials. A credential that is not proven is tried by one call at a
 * time, and all others wait for the outcome. A credential that was refused is only used by single probes after growing
 * pauses. So retries lock neither the key nor the account, and hammer no source, however many jobs wait.
 */
export class CredentialBreaker {
  readonly #onChange: (state: CredentialState) => void;
  #state: CredentialState = { state: 'unproven', since: Date.now() };
  #failures = 0;
  /** Grows with each change; the outcome of a call that went out before the last change no longer counts. */
  #generation = 0;
  /** Resolves, once the trial is settled, to why it taught nothing. */
  #trial: Promise<Refusal | undefined> | undefined;

  constructor(onChange: (state: CredentialState) => void = () => {}) {
    this.#onChange = onChange;
  }

  get state(): CredentialState {
    return this.#state;
  }

  /**
   * @param signal gives up waiting.
   * @returns a permit for one call, or why there is none now.
   */
  async acquire(signal: AbortSignal): Promise<{ permit: Permit } | { withheld: Refusal }> {
    for (;;) {
      if (signal.aborted) return { withheld: GIVEN_UP };
      const state = this.#state;
      if (state.state === 'accepted') return { permit: this.#permit(() => {}) };
      if (this.#trial === undefined) {
        if (state.state === 'refused' && Date.now() < state.probeAt) return { withheld: state.refusal };
        let settle: (why: Refusal | undefined) => void = () => {};
        const trial = new Promise<Refusal | undefined>((resolve) => {
          settle = resolve;
        });
        this.#trial = trial;
        return {
          permit: this.#permit((why) => {
            if (this.#trial === trial) this.#trial = undefined;
            settle(why);
          }),
        };
      }
      // No call waits for the probe of a refused credential: it may take as long as a call may take.
      if (state.state === 'refused') return { withheld: state.refusal };
      let stopListening = () => {};
      const aborted = new Promise<undefined>((resolve) => {
        stopListening = onAbort(signal, () => resolve(undefined));
      });
      const why = await Promise.race([this.#trial, aborted]).finally(stopListening);
      if (why !== undefined) return { withheld: why };
    }
  }

  /** The credential has changed outside, by a file say: it may be tried at once. */
  reset(): void {
    this.#generation += 1;
    this.#failures = 0;
    this.#trial = undefined;
    if (this.#state.state === 'refused') this.#state = { ...this.#state, probeAt: 0 };
    else this.#state = { state: 'unproven', since: Date.now() };
  }

  #permit(settled: (why: Refusal | undefined) => void): Permit {
    const generation = this.#generation;
    const isOld = () => generation !== this.#generation;
    return {
      accepted: () => {
        if (!isOld() && this.#state.state !== 'accepted') {
          this.#generation += 1;
          this.#failures = 0;
          this.#change({ state: 'accepted', since: Date.now() });
        }
        settled(undefined);
      },
      refused: (refusal, pausesMs) => {
        if (!isOld()) {
          this.#generation += 1;
          const pauseMs = pausesMs[Math.min(this.#failures, pausesMs.length - 1)] ?? 0;
          this.#failures += 1;
          const since = this.#state.state === 'refused' ? this.#state.since : Date.now();
          this.#change({ state: 'refused', since, refusal, probeAt: Date.now() + pauseMs });
        }
        settled(undefined);
      },
      unknown: (why) => settled(why),
    };
  }

  #change(state: CredentialState): void {
    const before = this.#state.state;
    this.#state = state;
    // A further refusal is no news, and neither is the first acceptance.
    if (state.state !== before && !(state.state === 'accepted' && before === 'unproven')) this.#onChange(state);
  }
}
