import type { ServerResponse } from 'node:http';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { type CfwJobEvent, fromEntry, InvalidEntryError } from '../../events/index.js';
import { EventTail, isBehind, type TailListener } from './event-tail.js';
import { type JobsRouteOptions, overRedis } from './jobs.js';
import { HttpProblem } from './problem.js';
import { type App, checked, queryOf, route } from './routes.js';
import { eventsQuery } from './schemas.js';

/** Readers at the same time, at most. */
const MAX_READERS = 100;
/** A comment is sent this often, in milliseconds, so that nothing on the way takes the connection for dead. */
const HEARTBEAT_MS = 15_000;
/** The default of `slowReaderMs`; the reader can go on where it was. */
const SLOW_MS = 15_000;
/** Entries that are read at once for a reader that is behind: what it may cost in memory, beside a socket's buffer. */
const PAGE = 50;

const ENTRY_ID = /^\d{1,20}-\d{1,20}$/;

/** What the route of events needs. */
export interface EventsRouteOptions extends JobsRouteOptions {
  /** A reader that takes nothing for this long is disconnected, in milliseconds. @default 15000 */
  readonly slowReaderMs?: number;
}

/** `GET /v1/events`: the events as they appear, as server-sent events. */
export function eventsRoute(app: App, options: EventsRouteOptions): void {
  const readers = new Set<EventReader>();
  const tail = new EventTail(options.redis, options.eventStream, () => {
    for (const reader of readers) reader.end();
  });
  const heartbeat = setInterval(() => {
    for (const reader of readers) reader.beat();
  }, HEARTBEAT_MS).unref();
  options.closing.addEventListener('abort', () => {
    clearInterval(heartbeat);
    for (const reader of readers) reader.end();
  });

  route(app, '/v1/events', {
    GET: async (c) => {
      const { from } = checked(eventsQuery, queryOf(c));
      const lastId = c.req.header('last-event-id');
      if (lastId !== undefined && !ENTRY_ID.test(lastId)) {
        throw new HttpProblem(400, 'Last-Event-ID must be the id of an event, such as 1764000000000-0');
      }
      if (c.env.incoming.method === 'HEAD') return c.body(null, 200, HEADERS);
      if (readers.size >= MAX_READERS || options.closing.aborted) {
        throw new HttpProblem(503, `${MAX_READERS} readers are connected, which is the limit`, {
          headers: { 'retry-after': '5' },
        });
      }
      const reader = new EventReader(options, tail, c.env.outgoing);
      readers.add(reader);
      try {
        await overRedis(options, () => tail.open());
      } catch (error) {
        readers.delete(reader);
        throw error;
      }
      void reader.run(lastId ?? (from === 'start' ? '0-0' : tail.position)).finally(() => {
        readers.delete(reader);
        tail.close();
      });
      return RESPONSE_ALREADY_SENT;
    },
  });
}

const HEADERS = { 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' };

/** One reader: it reads pages of the stream until it has caught up, then listens at the live end until it is too slow. */
class EventReader {
  readonly #options: EventsRouteOptions;
  readonly #tail: EventTail;
  readonly #response: ServerResponse;
  #last = '0-0';

  constructor(options: EventsRouteOptions, tail: EventTail, response: ServerResponse) {
    this.#options = options;
    this.#tail = tail;
    this.#response = response;
  }

  /** Sends events until the client is gone, too slow, or sent away. */
  async run(from: string): Promise<void> {
    this.#last = from;
    const response = this.#response;
    response.on('error', () => {});
    response.writeHead(200, HEADERS);
    // Browsers reconnect after this.
    response.write('retry: 2000\n\n');
    try {
      while (!response.destroyed && !response.writableEnded) {
        const seen = await this.#catchUp();
        if (seen !== undefined) await this.#listen(seen);
        await this.#drained();
      }
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'event stream ended');
    }
    response.end();
  }

  /** Keeps the connection alive. */
  beat(): void {
    if (!this.#response.writableNeedDrain && !this.#response.writableEnded) this.#response.write(': \n\n');
  }

  end(): void {
    this.#response.end();
  }

  /** @returns the position of the live end up to which the reader has seen everything; undefined if there is more to read. */
  async #catchUp(): Promise<string | undefined> {
    const { redis, eventStream } = this.#options;
    const { position } = this.#tail;
    const entries = await redis.xrange(eventStream, `(${this.#last}`, '+', 'COUNT', PAGE);
    for (const [entryId, fields] of entries) {
      const event = eventIn(entryId, fields);
      if (event !== undefined && !this.#write(entryId, event)) await this.#drained();
      if (this.#response.destroyed || this.#response.writableEnded) return undefined;
      this.#last = entryId;
    }
    if (entries.length > 0) return undefined;
    // The last entries may have been deleted.
    if (isBehind(position, this.#last)) this.#last = position;
    return position;
  }

  /** Listens until the buffer is full or the connection has ended. No more than one event goes into a full buffer. */
  async #listen(seen: string): Promise<void> {
    // Something was passed on since. From this check on, nothing can be before the listener is there.
    if (this.#tail.position !== seen) return;
    await new Promise<void>((resolve) => {
      const listener: TailListener = ({ entryId, event }) => {
        if (!isBehind(entryId, this.#last)) return;
        this.#last = entryId;
        if (!this.#write(entryId, event)) leave();
      };
      const leave = () => {
        this.#tail.remove(listener);
        this.#response.off('close', leave);
        this.#response.off('finish', leave);
        resolve();
      };
      this.#tail.add(listener);
      this.#response.once('close', leave);
      this.#response.once('finish', leave);
    });
  }

  #write(entryId: string, event: CfwJobEvent): boolean {
    const frame = `id: ${entryId}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
    return this.#response.writableEnded || this.#response.write(frame);
  }

  /** Waits until the buffer is empty; a reader that is too slow is disconnected. */
  async #drained(): Promise<void> {
    const response = this.#response;
    if (!response.writableNeedDrain || response.destroyed) return;
    await new Promise<void>((resolve) => {
      const slow = setTimeout(() => response.destroy(), this.#options.slowReaderMs ?? SLOW_MS);
      const done = () => {
        clearTimeout(slow);
        response.off('drain', done);
        response.off('close', done);
        resolve();
      };
      response.once('drain', done);
      response.once('close', done);
    });
  }
}

function eventIn(entryId: string, fields: readonly string[]): CfwJobEvent | undefined {
  try {
    return fromEntry(entryId, fields);
  } catch (error) {
    if (error instanceof InvalidEntryError) return undefined;
    throw error;
  }
}
