import { createServer } from 'node:net';
import { StartError } from './start-error.ts';

/** Tries to listen and lets go again: the free port that was found, or undefined when `port` is taken. */
async function probe(port: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen(port, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' ? address?.port : undefined));
    });
  });
}

/** The port people and providers use: taken is an answer, not a surprise elsewhere. @throws StartError */
export async function requirePort(name: string, port: number): Promise<number> {
  const free = await probe(port).catch((error: NodeJS.ErrnoException) => {
    throw new StartError(
      'port_refused',
      `Port ${port} (${name}) cannot be opened: ${error.code}.`,
      `Choose another one: ${name}=${3010} npm start`,
    );
  });
  if (free !== undefined) return free;
  throw new StartError(
    'port_taken',
    `Port ${port} (${name}) is taken by another program.`,
    `Stop that program, or choose another port: ${name}=${port + 10} npm start`,
  );
}

/** A port that only has to exist: its default, or any free one when a Prometheus or a second Klar sits on it. */
export async function preferPort(name: string, port: number, chosen: boolean): Promise<number> {
  if (chosen) return requirePort(name, port);
  return (await probe(port)) ?? (await probe(0)) ?? requirePort(name, port);
}
