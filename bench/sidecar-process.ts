/** The sidecar as a process of its own, configured by its environment. */
import { loadConfig } from '../src/config/index.js';
import { createLogger } from '../src/ops/logger.js';
import { startSidecar } from '../src/sidecar.js';
import { answer } from './processes.js';
import { usageMeter } from './usage.js';

const usage = usageMeter();
const config = loadConfig(process.env);
let polls = 0;
// Where the log level is debug, it tells each poll.
const logger = createLogger(config.logLevel, {
  write: (line) => {
    if (line.includes('"attempt":')) polls += 1;
  },
});
// Where time runs faster, as often as in the cloud's time.
const learnEveryMs = 10_000 / Number(process.env.TIME_SCALE ?? 1);
const sidecar = await startSidecar(config, logger, { learnEveryMs });
process.once('SIGTERM', async () => process.exit((await sidecar.stop()) ? 0 : 1));

answer({ usage, polls: () => polls });
