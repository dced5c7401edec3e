import type { JobObserver } from '../queue/index.js';

/** One observer that tells several. */
export function observers(...all: readonly JobObserver[]): JobObserver {
  return {
    accepted: (...args) => {
      for (const one of all) one.accepted(...args);
    },
    polled: (...args) => {
      for (const one of all) one.polled(...args);
    },
    ended: (...args) => {
      for (const one of all) one.ended(...args);
    },
    unfit: (...args) => {
      for (const one of all) one.unfit(...args);
    },
    trouble: (...args) => {
      for (const one of all) one.trouble(...args);
    },
  };
}
