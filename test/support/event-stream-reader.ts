import { type ClientRequest, request } from 'node:http';

/** A reader of server-sent events. */
export class EventStreamReader {
  readonly ids: string[] = [];
  readonly jobs: string[] = [];
  text = '';
  ended = false;
  status = 0;
  #request: ClientRequest | undefined;

  constructor(url: string, query = '', lastId?: string) {
    const headers = lastId === undefined ? {} : { 'last-event-id': lastId };
    this.#request = request(`${url}/v1/events${query}`, { headers }, (response) => {
      this.status = response.statusCode ?? 0;
      response.setEncoding('utf8').on('data', (text: string) => {
        this.text += text;
        for (;;) {
          const end = this.text.indexOf('\n\n');
          if (end === -1) break;
          const frame = this.text.slice(0, end);
          this.text = this.text.slice(end + 2);
          const [, id] = /^id: (.*)$/m.exec(frame) ?? [];
          const [, data] = /^data: (.*)$/m.exec(frame) ?? [];
          if (id === undefined || data === undefined) continue;
          this.ids.push(id);
          this.jobs.push(JSON.parse(data).subject);
        }
      });
      response.on('close', () => {
        this.ended = true;
      });
    });
    this.#request.on('error', () => {
      this.ended = true;
    });
    this.#request.end();
  }

  leave(): void {
    this.#request?.destroy();
  }
}
