/** Seconds that a rate is taken over. */
const WINDOW_S = 10;

/** Counts what happens, and says how often a second it happened lately. */
export class RateMeter {
  readonly #counts = new Array<number>(WINDOW_S).fill(0);
  #second = seconds();

  count(): void {
    this.#forget();
    const slot = this.#second % WINDOW_S;
    this.#counts[slot] = (this.#counts[slot] as number) + 1;
  }

  /** How often a second, over the last ten. */
  get perSecond(): number {
    this.#forget();
    return this.#counts.reduce((sum, count) => sum + count, 0) / WINDOW_S;
  }

  #forget(): void {
    const now = seconds();
    for (let second = Math.max(this.#second + 1, now - WINDOW_S + 1); second <= now; second += 1) {
      this.#counts[second % WINDOW_S] = 0;
    }
    this.#second = now;
  }
}

/** Of a clock that does not jump. */
const seconds = () => Math.floor(performance.now() / 1_000);
