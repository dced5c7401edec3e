import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { afterEach } from '@jest/globals';

/** Servers of one's own on loopback, that end with the test together with all their connections. */
export function useServers() {
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
  });

  /** @returns the port. */
  const listen = async (server: Server): Promise<number> => {
    servers.push(server);
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => {});
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    return (server.address() as AddressInfo).port;
  };

  return {
    listen,
    /** @returns the base URL. */
    http: async (listener: RequestListener): Promise<string> =>
      `http://127.0.0.1:${await listen(createHttpServer(listener))}`,
    tcp: (onConnection: (socket: Socket) => void): Promise<number> => listen(createTcpServer(onConnection)),
  };
}
