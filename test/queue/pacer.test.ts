import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Pacer } from '../../src/queue/pacer.js';

const FOR_EVER = Number.POSITIVE_INFINITY;

/** The real ones. */
const { setInterval: everyMs, clearInterval: endInterval } = globalThis;
const realNow = performance.now.bind(performance);
/** A clock that only the tests move: how fast the machine is says nothing about the pacer. */
beforeEach(() => {
  jest.useFakeTimers({ now: Date.UTC(2026, 0, 2) });
});
afterEach(() => {
  jest.useRealTimers();
});
/** As a timer does, it ends late by a little. */
const sleep = async (ms: number) => await jest.advanceTimersByTimeAsync(Math.ceil(ms) + 0.3);

/** Takes turns as fast as they come, and writes down when each began. */
async function takeFor(pacer: Pacer, ms: number): Promise<number[]> {
  const until = performance.now() + ms;
  const times: number[] = [];
  while (performance.now() < until) {
    const turn = pacer.take();
    if (turn === undefined) await sleep(Math.min(20, Math.max(1, pacer.waitMs)));
    else times.push(performance.now());
  }
  return times;
}

const worstSecond = (times: readonly number[]) =>
  Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + 1_000).length));

describe('the pacer', () => {
  it.each([1, 7, 50, 400])('makes at most one call more than its share of %d a second in any second', async (rate) => {
    const pacer = new Pacer();
    pacer.grant(rate, FOR_EVER);
    const times = await takeFor(pacer, 2_000);
    expect(worstSecond(times)).toBeLessThanOrEqual(Math.ceil(rate * 1.015) + 1);
    expect(times.length).toBeGreaterThan(0);
  });

  it('makes no call after its share has ended, and none ahead of that', () => {
    const pacer = new Pacer();
    expect(pacer.take()).toBeUndefined();
    pacer.grant(10, performance.now() + 50);
    expect(pacer.take()).toBeDefined();
    // The next one would begin after the end.
    expect(pacer.take(1_000)).toBeUndefined();
    expect(pacer.waitMs).toBe(FOR_EVER);
    pacer.grant(10, performance.now() - 1);
    expect([pacer.rate, pacer.take()]).toEqual([0, undefined]);
  });

  it('keeps the distance to its last call by the new rate when the share changes', () => {
    const pacer = new Pacer();
    pacer.grant(1, FOR_EVER);
    pacer.take();
    expect(pacer.waitMs).toBeGreaterThan(900);
    pacer.grant(100, FOR_EVER);
    expect(pacer.waitMs).toBeLessThanOrEqual(10);
    pacer.grant(1, FOR_EVER);
    expect(pacer.waitMs).toBeGreaterThan(900);
  });

  it('takes a turn ahead of its time only as far as it may wait, and gives it back', () => {
    const pacer = new Pacer();
    pacer.grant(20, FOR_EVER);
    pacer.take();
    expect(pacer.take(10)).toBeUndefined();
    const ahead = pacer.take(60);
    expect((ahead?.at ?? 0) - performance.now()).toBeGreaterThan(20);
    pacer.giveBack();
    expect(pacer.waitMs).toBeLessThanOrEqual(50);
  });

  /** Takes turns up to a quarter of a second ahead for so long: when they are to be used, whatever the machine does meanwhile. */
  async function turnsFor(pacer: Pacer, ms: number): Promise<number[]> {
    const until = performance.now() + ms;
    const turns: number[] = [];
    while (performance.now() < until) {
      const turn = pacer.take(250);
      if (turn === undefined) await sleep(10);
      else turns.push(turn.at);
    }
    return turns;
  }

  it('makes the calls of a period together once there is more to do than it may, and no more of them', async () => {
    const pacer = new Pacer();
    const rhythm = { periodMs: 40, at: performance.now() + 7 };
    pacer.grant(100, FOR_EVER, rhythm);
    const begunAt = performance.now();
    const turns = await turnsFor(pacer, 2_500);
    const together = turns.filter((at) => at > begunAt + 1_500);
    expect(together.length).toBeGreaterThan(50);
    const offBeat = together.filter((at) => Math.abs(((at - rhythm.at + 20) % 40) - 20) > 0.01);
    expect(offBeat).toEqual([]);
    expect(worstSecond(turns)).toBeLessThanOrEqual(105);
    // Before that each has a time of its own.
    const early = turns.filter((at) => at < begunAt + 900);
    expect(new Set(early.map(Math.round)).size).toBeGreaterThan(60);
  });

  it('leaves a turn that has come between two beats to the next one', async () => {
    const pacer = new Pacer();
    const rhythm = { periodMs: 400, at: performance.now() };
    pacer.grant(10, FOR_EVER, rhythm);
    const begunAt = performance.now();
    await turnsFor(pacer, 1_300);
    const offBeat: number[] = [];
    while (performance.now() < begunAt + 3_000) {
      const turn = pacer.take();
      if (turn === undefined) await sleep(5);
      // Whoever takes it may be late.
      else if ((turn.at - rhythm.at) % 400 > 200) offBeat.push(turn.at - begunAt);
    }
    expect(offBeat).toEqual([]);
  });

  it('wakes all that waits for one beat at the same moment, and nothing waits after a stop', async () => {
    const pacer = new Pacer();
    // Without a rhythm each job leaves at once.
    pacer.grant(100, FOR_EVER);
    await pacer.beat();
    const rhythm = { periodMs: 60_000, at: performance.now() + 2_000 };
    pacer.grant(100, FOR_EVER, rhythm);
    const begunAt = performance.now();
    while (performance.now() < begunAt + 1_200) if (pacer.take(250) === undefined) await sleep(10);
    const woken: number[] = [];
    let turns = 0;
    const wake = () => woken.push(turns);
    const counting = everyMs(() => {
      turns += 1;
    }, 1);
    // What it waits by is no timer that can be faked.
    const [waitsFrom, leftMs] = [realNow(), rhythm.at - performance.now()];
    await Promise.all([pacer.beat().then(wake), pacer.wait({ at: rhythm.at }).then(wake), pacer.beat().then(wake)]);
    endInterval(counting);
    expect(realNow() - waitsFrom).toBeGreaterThanOrEqual(leftMs - 5);
    expect(new Set(woken).size).toBe(1);
    const next = Promise.all([pacer.beat(), pacer.wait({ at: rhythm.at + 60_000 })]);
    pacer.stop();
    await next;
    await pacer.beat();
  });

  it('makes up for no turn that has passed unused, and then makes each call at its own time', async () => {
    const pacer = new Pacer();
    pacer.grant(10, FOR_EVER, { periodMs: 400, at: performance.now() });
    await turnsFor(pacer, 1_500);
    await sleep(1_000);
    const turns: number[] = [];
    for (let turn = pacer.take(); turn !== undefined; turn = pacer.take()) turns.push(turn.at);
    expect(turns).toHaveLength(1);
    expect(pacer.waitMs).toBeLessThanOrEqual(100);
  });

  it('has no limit if it is granted none, and reports what was wanted', () => {
    const pacer = new Pacer();
    pacer.grant(FOR_EVER, FOR_EVER);
    for (let n = 0; n < 1_000; n += 1) expect(pacer.take()).toBeDefined();
    expect(pacer.report()).toEqual({ taken: 1_000, refused: false });
    const slow = new Pacer();
    slow.grant(1, FOR_EVER);
    slow.take();
    slow.take();
    expect(slow.report()).toEqual({ taken: 1, refused: true });
    expect(slow.report()).toEqual({ taken: 0, refused: false });
  });
});
