// Makes the machine's clock wrong: by as many milliseconds as a file says, read again ten times a second. For `node --import`.
import { readFileSync } from 'node:fs';

const file = process.env.CLOCK_FILE;
const now = Date.now;
const Real = Date;
const read = () => Number(readFileSync(file, 'utf8')) || 0;
let ahead = read();
setInterval(() => {
  ahead = read();
}, 100).unref();
globalThis.Date = class extends Real {
  constructor(...args) {
    if (args.length === 0) super(now() + ahead);
    else super(...args);
  }
  static now() {
    return now() + ahead;
  }
};
