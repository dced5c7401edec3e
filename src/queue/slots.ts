/** How many jobs may be here. */
export interface SlotLimits {
  /** Jobs that are here at the same time; half of them at the most are held. */
  readonly max: number;
  /** Those among them that are not held. */
  readonly maxAtHand: number;
}

/** Counts the jobs that are here, and decides whether there is room for more. */
export class Slots {
  readonly #limits: SlotLimits;
  /** Runs when there may be room again. */
  readonly #onRoom: () => void;
  #taken = 0;
  #held = 0;

  constructor(limits: SlotLimits, onRoom: () => void) {
    this.#limits = limits;
    this.#onRoom = onRoom;
  }

  get taken(): number {
    return this.#taken;
  }

  get held(): number {
    return this.#held;
  }

  /** Whether one more may come. */
  get isRoom(): boolean {
    return this.#taken < this.#limit;
  }

  /** Whether another may come in the place of one that leaves. */
  get mayRefill(): boolean {
    return this.#taken <= this.#limit;
  }

  take(): void {
    this.#taken += 1;
  }

  leave(): void {
    this.#taken -= 1;
    this.#onRoom();
  }

  /** @returns false if there is no room to hold one more of those that are here. */
  hold(): boolean {
    if (this.#held + 1 > this.#limits.max / 2) return false;
    this.#held += 1;
    this.#onRoom();
    return true;
  }

  release(): void {
    this.#held -= 1;
  }

  get #limit(): number {
    return Math.min(this.#limits.max, this.#held + this.#limits.maxAtHand);
  }
}
