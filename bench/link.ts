import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  isDead: boolean;
}

/** A TCP link on loopback that can be spoilt: what lies behind its one address can change, too. */
export class Link {
  /** Where new connections lead; those that are open stay where they are. */
  target: number;
  readonly #pairs = new Set<Pair>();
  readonly #server: Server;
  #isStalled = false;

  private constructor(target: number) {
    this.target = target;
    this.#server = createServer((client) => this.#join(client));
  }

  static async open(target: number): Promise<Link> {
    const link = new Link(target);
    await new Promise<void>((resolve) => {
      link.#server.listen(0, '127.0.0.1', resolve);
    });
    return link;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Breaks each open connection by a reset. */
  reset(): void {
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy();
      server.destroy();
    }
  }

  /** Connections that are open go dead and are never closed, as behind a firewall that forgot them; new ones work. */
  halfOpen(): void {
    for (const pair of this.#pairs) {
      pair.isDead = true;
      pair.client.unpipe().resume();
      pair.server.unpipe().resume();
    }
  }

  /** Connections are taken, and nothing comes through. */
  stall(): void {
    this.#isStalled = true;
    for (const { client, server } of this.#pairs) {
      client.unpipe().pause();
      server.unpipe().pause();
    }
  }

  /** Ends a stall. */
  flow(): void {
    // To pipe twice would send everything twice.
    if (!this.#isStalled) return;
    this.#isStalled = false;
    for (const pair of this.#pairs) this.#pipe(pair);
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.reset();
    await closed;
  }

  #join(client: Socket): void {
    const pair = { client, server: connect(this.target, '127.0.0.1'), isDead: false };
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      // The other end of a dead connection hears of nothing, except that this process must not keep it.
      pair.client.destroy();
      pair.server.destroy();
    };
    for (const socket of [client, pair.server]) socket.on('error', () => {}).on('close', end);
    if (!this.#isStalled) this.#pipe(pair);
  }

  #pipe({ client, server, isDead }: Pair): void {
    if (isDead) {
      client.resume();
      server.resume();
      return;
    }
    client.pipe(server);
    server.pipe(client);
  }
}
