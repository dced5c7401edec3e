#!/usr/bin/env node
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { addJobCommands, exitCodeOf } from './commands/job-commands.js';
import {
  complain,
  endOnUncaught,
  endProcess,
  ignoreHangUpWithoutTerminal,
  stopOnSignals,
  stopWithoutOutput,
} from './commands/process.js';
import { standardOutput } from './commands/terminal.js';
import { ConfigError, loadBaseConfig, loadConfig, loadEnvFile } from './config/index.js';
import { DURATION_FORM, parseDuration } from './lib/duration.js';
import { ID_PATTERN } from './lib/id.js';
import { VERSION } from './lib/version.js';

/** Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration, 3 a wait ran out of time. */
const FAILED = 1;
const WRONG_USAGE = 2;
/** By name, so that no command has to load what only others need. */
const WRONG_USAGE_ERRORS: readonly string[] = ['ConfigError', 'InvalidJobError'];

const duration = (text: string) => {
  const milliseconds = parseDuration(text);
  if (milliseconds === undefined || milliseconds === 0) {
    throw new InvalidArgumentError(`Expected a duration: ${DURATION_FORM}.`);
  }
  return milliseconds;
};
const id = (text: string) => {
  if (!ID_PATTERN.test(text)) throw new InvalidArgumentError('Expected 1 to 64 characters of A-Z a-z 0-9 _ -.');
  return text;
};
const entryId = (text: string, before: string[] = []) => {
  if (!/^\d{1,20}-\d{1,20}$/.test(text) || text.split('-').some((part) => BigInt(part) >= 2n ** 64n))
    throw new InvalidArgumentError('Expected the id of a dead letter, as "dead list" prints it.');
  return [...before, text];
};
const port = (text: string) => {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535) throw new InvalidArgumentError('Expected 0 to 65535.');
  return Number(text);
};
const number = (min: number, max: number) => (text: string) => {
  const value = Number(text);
  if (text.trim() === '' || !(value >= min && value <= max)) {
    throw new InvalidArgumentError(`Expected a number from ${min} to ${max}.`);
  }
  return value;
};
const jsonObject = (text: string) => {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw new InvalidArgumentError('Expected a JSON object, such as {"orderId":"42"}.');
};

/**
 * Each command loads what it needs when it runs: a sidecar must not carry the simulator along.
 *
 * @param untilStopped asked for by commands that end in order when told to; on the others a signal acts as on any program.
 */
function createProgram(untilStopped: () => AbortSignal, setExitCode: (code: number) => void): Command {
  const terminal = standardOutput();
  const program = new Command('cfw-job-poller')
    .description('Watches CFW jobs to their end and publishes one event for each on a Redis stream.')
    .version(VERSION)
    .exitOverride()
    .showHelpAfterError('(--help tells more)')
    .addHelpText(
      'after',
      '\nThe configuration comes from environment variables, or from a file .env in this folder; .env.example lists them.' +
        '\nExit codes: 0 fine, 1 failed, 2 wrong usage or configuration, 3 wait ran out of time.',
    );

  program
    .command('start')
    .description('run the sidecar: worker and HTTP')
    .option('--writable', 'let the page at / enqueue and cancel jobs, rather than only show them', false)
    .addOption(new Option('--dashboard-writable', 'the same').default(false).hideHelp())
    .action(async ({ writable, dashboardWritable }) => {
      const { start } = await import('./commands/start.js');
      if (!(await start(loadConfig(process.env), { writable: writable || dashboardWritable }, untilStopped())))
        setExitCode(FAILED);
    });

  program
    .command('enqueue')
    .description('hand job ids to the queue, all or none')
    .argument('<jobId...>', 'ids of CFW jobs; - reads them from standard input')
    .option('--project <id>', 'project of the jobs (default: CFW_PROJECT_ID)', id)
    .option(
      '--timeout <duration>',
      'from now to giving up, at most 24h (default: POLL_TIMEOUT of the sidecar)',
      duration,
    )
    .option('--metadata <json>', 'an object that comes back in the events', jsonObject)
    .option('--again', 'watch jobs once more that have ended before', false)
    .option('--wait', 'wait until all have ended, as wait does', false)
    .action(async (jobIds: string[], { project, timeout, metadata, again, wait }) => {
      const { enqueue } = await import('./commands/enqueue.js');
      const options = { project, timeoutMs: timeout, metadata, again, wait };
      setExitCode(exitCodeOf(await enqueue(loadBaseConfig(process.env), jobIds, options, terminal)));
    });

  program
    .command('watch')
    .description('print events as they appear')
    .option('--from-start', 'begin with the oldest event that the stream holds', false)
    .option('--json', 'one JSON object a line', false)
    .option('--until-idle <duration>', 'end when no event has come for so long', duration)
    .action(async ({ fromStart, json, untilIdle }) => {
      const { watch } = await import('./commands/watch.js');
      const config = loadBaseConfig(process.env);
      await watch(config, { fromStart, json, untilIdleMs: untilIdle }, terminal, untilStopped());
    });

  program
    .command('status')
    .description('tell where one job stands')
    .argument('<jobId>', 'id of a CFW job', id)
    .option('--project <id>', 'project of the job (default: CFW_PROJECT_ID)', id)
    .option('--watch <id>', 'the further watch, as enqueue --again names it', id)
    .option('--json', 'as one JSON object', false)
    .action(async (jobId: string, { project, watch: watchId, json }) => {
      const config = loadBaseConfig(process.env);
      const projectId = project ?? config.projectId;
      if (projectId === undefined)
        throw new ConfigError(['--project or CFW_PROJECT_ID is needed: the project of the job']);
      const { status } = await import('./commands/status.js');
      if (!(await status(config, { projectId, jobId, watchId }, terminal, json))) setExitCode(FAILED);
    });

  addJobCommands(program, { terminal, setExitCode, id, duration });

  addDeadCommands(program, { terminal, setExitCode });
  addScheduleCommands(program, terminal);
  addTrialCommands(program, { terminal, setExitCode, untilStopped });
  return program;
}

/** What commands work with. */
interface Context {
  readonly terminal: ReturnType<typeof standardOutput>;
  readonly setExitCode: (code: number) => void;
  readonly untilStopped: () => AbortSignal;
}

function addDeadCommands(program: Command, { terminal, setExitCode }: Omit<Context, 'untilStopped'>): void {
  const dead = program.command('dead').description('handle events that a consumer group could not handle');
  dead
    .command('list')
    .description('print the dead letters, oldest first')
    .option('--group <name>', 'those of one consumer group')
    .option('--json', 'one JSON object a line', false)
    .action(async ({ group, json }) => {
      const { listDead } = await import('./commands/dead.js');
      await listDead(loadBaseConfig(process.env), { group, json }, terminal);
    });
  for (const [name, does] of [
    ['replay', 'give dead letters to their groups once more'],
    ['drop', 'forget dead letters'],
  ] as const) {
    dead
      .command(name)
      .description(does)
      .argument('[id...]', 'ids of dead letters', entryId)
      .option('--all', 'all dead letters, or all of --group', false)
      .option('--group <name>', 'those of one consumer group')
      .action(async (letterIds: string[] = [], { all, group }) => {
        if (all === letterIds.length > 0) throw new ConfigError(['either ids of dead letters or --all is needed']);
        const { dropDead, replayDead } = await import('./commands/dead.js');
        const act = name === 'replay' ? replayDead : dropDead;
        if (!(await act(loadBaseConfig(process.env), { letterIds, all, group }, terminal))) setExitCode(FAILED);
      });
  }
}

function addScheduleCommands(program: Command, terminal: Context['terminal']): void {
  const schedule = program.command('schedule').description('the learned schedule: what it knows, or make it forget');
  schedule
    .command('show')
    .description('show how long jobs took and when they are polled for, with a plot')
    .action(async () => {
      const { showSchedule } = await import('./commands/schedule.js');
      await showSchedule(loadBaseConfig(process.env), terminal);
    });
  schedule
    .command('reset')
    .description('forget how long jobs took; polls follow the exponential backoff again')
    .action(async () => {
      const { resetSchedule } = await import('./commands/schedule.js');
      await resetSchedule(loadBaseConfig(process.env), terminal);
    });
}

/** Looking at the set-up, and trying things out. */
function addTrialCommands(program: Command, { terminal, setExitCode, untilStopped }: Context): void {
  program
    .command('doctor')
    .description('look at configuration, Redis, IAM, CFW and the clock, and say what to do')
    .action(async () => {
      const { doctor } = await import('./commands/doctor/doctor.js');
      if (!(await doctor(process.env, terminal))) setExitCode(FAILED);
    });

  program
    .command('simulator')
    .description('run a stand-in for CFW on loopback, for trying things out')
    .option('--port <port>', 'port on 127.0.0.1; 0 picks a free one', port, 8081)
    .option('--token <token>', 'the token that it accepts', 'simulator-token')
    .option('--median <duration>', 'median of the durations of its jobs', duration, 5_000)
    .option('--sigma <number>', 'spread of the durations, which are log-normal', number(0, 5), 0.35)
    .option('--failures <share>', 'share of jobs that fail, 0 to 1', number(0, 1), 0.1)
    .action(async ({ port, token, median, sigma, failures }) => {
      const { simulator } = await import('./commands/simulator.js');
      await simulator({ port, token, medianMs: median, sigma, failureShare: failures }, terminal, untilStopped());
    });

  program
    .command('demo')
    .description('all of it at work, on a private Redis and the simulator; ends by itself')
    .option('--keep', 'leave it running after the last event, until Ctrl-C', false)
    .action(async ({ keep }) => {
      const { demo } = await import('./demo/demo.js');
      if (!(await demo(terminal, untilStopped(), keep))) setExitCode(FAILED);
    });
}

async function main(): Promise<void> {
  endOnUncaught();
  // BullMQ prints what it thinks of Redis's version and eviction policy; `doctor` and the sidecar's log say what we think.
  console.warn = () => {};
  ignoreHangUpWithoutTerminal();
  const stop = new AbortController();
  const untilStopped = () => {
    stopOnSignals(stop);
    return stop.signal;
  };

  let exitCode = 0;
  stopWithoutOutput(stop);
  try {
    await createProgram(untilStopped, (code) => {
      exitCode = code;
    })
      .hook('preAction', () => {
        // Counts if Node finds nothing left to do before a command has ended; commander's help would end with it, too.
        process.exitCode = FAILED;
        // Help, version and wrong usage need none of it.
        const note = loadEnvFile('.env', process.env);
        if (note !== undefined) complain(note);
      })
      .parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has printed what is wrong, or the help or version that was asked for.
      exitCode = error.exitCode === 0 ? 0 : WRONG_USAGE;
    } else {
      const { name, message } = error as Error;
      complain(message);
      exitCode = WRONG_USAGE_ERRORS.includes(name) ? WRONG_USAGE : FAILED;
    }
  }
  endProcess(exitCode);
}

void main();
