import { styleText } from 'node:util';

const LEVEL_STYLES: Readonly<Record<string, Parameters<typeof styleText>[0]>> = {
  trace: 'gray',
  debug: 'blue',
  info: 'green',
  warn: 'yellow',
  error: 'red',
  fatal: ['bgRed', 'white'],
};
/** Everything that a terminal would act on, rather than show. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about.
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/**
 * Makes a log line readable for people: the time of day, the level and the message, then a line for each field.
 *
 * @param json a line as pino writes it.
 * @param colour whether to use colours; the terminal must know them.
 */
export function prettyLine(json: string, colour: boolean): string {
  const { time, level, msg = '', err, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const style = (format: Parameters<typeof styleText>[0], text: string) =>
    colour ? styleText(format, text, { validateStream: false }) : text;
  const lines = [
    `${style('gray', timeOfDay(String(time)))} ${style(LEVEL_STYLES[String(level)] ?? 'reset', String(level).toUpperCase())} ${shown(msg)}`,
    ...Object.entries(fields).map(([name, value]) => `  ${style('gray', `${name}:`)} ${shown(value)}`),
  ];
  if (typeof err === 'object' && err !== null) {
    const { type, message, stack, ...more } = err as Record<string, unknown>;
    lines.push(`  ${shown(stack ?? `${type}: ${message}`).replaceAll('\n', '\n  ')}`);
    if (Object.keys(more).length > 0) lines.push(`  ${shown(more)}`);
  } else if (err !== undefined) {
    lines.push(`  ${style('gray', 'err:')} ${shown(err)}`);
  }
  return `${lines.join('\n')}\n`;
}

function shown(value: unknown): string {
  return (typeof value === 'string' ? value : JSON.stringify(value)).replace(CONTROL, '');
}

/** In the time zone of this machine. */
function timeOfDay(time: string): string {
  const date = new Date(time);
  return `${date.toTimeString().slice(0, 8)}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}
