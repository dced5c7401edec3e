import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A TCP proxy on loopback whose connections can go dead without a word, as behind a firewall that forgets them. */
export interface Proxy {
  readonly port: number;
  /** From now on nothing comes through on the connections that are open; new ones work. */
  freeze(): void;
  /** From now on new connections lead to another port; those that are open stay. */
  redirect(port: number): void;
  stop(): Promise<void>;
}

/** @param silent so many connections are taken, and lead nowhere. */
export async function startProxy(targetPort: number, { silent = 0 } = {}): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let target = targetPort;
  let taken = 0;
  const server = createServer((socket) => {
    taken += 1;
    if (taken <= silent) {
      sockets.add(socket.resume());
      return;
    }
    const onward = connect(target, '127.0.0.1');
    for (const [one, other] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      sockets.add(one);
      one.pipe(other);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    freeze: () => {
      for (const socket of sockets) socket.unpipe().pause();
    },
    redirect: (port) => {
      target = port;
    },
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
