import { onAbort } from '../on-abort.js';
import type { CredentialError } from './credential.js';

/** Why calls are withheld. */
export type Refusal = Pick<CredentialError, 'code' | 'httpStatus' | 'message'>;

/** Nobody waits for leave any more. */
export const GIVEN_UP: Refusal = { code: 'ABORTED', httpStatus: null, message: 'the call was given up' };

/** The state of the credentials, for readiness and logs. */
export type CredentialState =
  | { readonly state: 'unproven' | 'accepted'; readonly since: number }
  | { readonly state: 'refused'; readonly since: number; readonly refusal: Refusal; readonly probeAt: number };

/** Leave to make one call; it must be settled once. */
export interface Pass {
  /** CFW took the credential: it answered about the job, or about what this identity may do. */
  accepted(): void;
  /** CFW or IAM refused the credential. */
  refused(refusal: Refusal, pausesMs: readonly number[]): void;
  /** Nothing was learnt about the credential: no answer, or one from a gateway that is down. */
  unknown(why: Refusal): void;
}

/**
 * A circuit breaker for a credential. One that is not proven is tried by one call at a time, while all others wait for how
 * that comes out; one that was refused is not used at all but by single probes after growing pauses. So neither key nor
 * account gets locked by our insisting, however many jobs wait.
 */
export class CredentialGate {
  readonly #onChange: (state: CredentialState) => void;
  #state: CredentialState = { state: 'unproven', since: Date.now() };
  #failures = 0;
  /** Told apart from calls that went out before the last change: what they say is old. */
  #generation = 0;
  /** Resolves, once the trial is settled, to why nothing was learnt by it. */
  #trial: Promise<Refusal | undefined> | undefined;

  constructor(onChange: (state: CredentialState) => void = () => {}) {
    this.#onChange = onChange;
  }

  get state(): CredentialState {
    return this.#state;
  }

  /**
   * @param signal gives up waiting for it.
   * @returns leave for a call, or why there is none now.
   */
  async enter(signal: AbortSignal): Promise<{ pass: Pass } | { withheld: Refusal }> {
    for (;;) {
      if (signal.aborted) return { withheld: GIVEN_UP };
      const state = this.#state;
      if (state.state === 'accepted') return { pass: this.#pass(() => {}) };
      if (this.#trial === undefined) {
        if (state.state === 'refused' && Date.now() < state.probeAt) return { withheld: state.refusal };
        let settle: (why: Refusal | undefined) => void = () => {};
        const trial = new Promise<Refusal | undefined>((resolve) => {
          settle = resolve;
        });
        this.#trial = trial;
        return {
          pass: this.#pass((why) => {
            if (this.#trial === trial) this.#trial = undefined;
            settle(why);
          }),
        };
      }
      // While a refused credential is probed, nobody waits for that: it may take as long as a call may take.
      if (state.state === 'refused') return { withheld: state.refusal };
      let stopListening = () => {};
      const aborted = new Promise<undefined>((resolve) => {
        stopListening = onAbort(signal, () => resolve(undefined));
      });
      const why = await Promise.race([this.#trial, aborted]).finally(stopListening);
      if (why !== undefined) return { withheld: why };
    }
  }

  /** Something about the credential has changed outside: it may be tried at once. */
  reset(): void {
    this.#generation += 1;
    this.#failures = 0;
    this.#trial = undefined;
    if (this.#state.state === 'refused') this.#state = { ...this.#state, probeAt: 0 };
    else this.#state = { state: 'unproven', since: Date.now() };
  }

  #pass(settled: (why: Refusal | undefined) => void): Pass {
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
    // A further refusal is no news, and neither is it that what was never doubted is accepted.
    if (state.state !== before && !(state.state === 'accepted' && before === 'unproven')) this.#onChange(state);
  }
}
