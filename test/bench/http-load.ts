/** A load generator on bare sockets: it shares the machine with what it measures, so it does next to nothing. */
import { connect, type Socket } from 'node:net';

export type LoadResult = {
  acked: number;
  refused: number;
  failed: number;
  seconds: number;
  perSecond: number;
  /** Milliseconds from when the request was due to its answer. */
  p50: number;
  p99: number;
  p999: number;
  max: number;
};

type Connection = { send(request: Buffer, dueAt: number): void; close(): void };
type Answered = (status: number, ms: number) => void;

function open(port: number, onAnswer: (connection: Connection) => Answered): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let due = 0;
    let answered: Answered = () => {};
    const connection: Connection = {
      send(request, dueAt) {
        due = dueAt;
        socket.write(request);
      },
      close: () => socket.destroy(),
    };
    socket.once('error', reject);
    socket.once('connect', () => {
      answered = onAnswer(connection);
      resolve(connection);
    });
    // Answers are a few hundred bytes and come in one piece: "HTTP/1.1 200".
    socket.on('data', (chunk: Buffer) => {
      const status = (chunk[9] ?? 0) * 100 + (chunk[10] ?? 0) * 10 + (chunk[11] ?? 0) - 48 * 111;
      answered(status, performance.now() - due);
    });
    socket.on('close', () => answered(0, performance.now() - due));
  });
}

function summarize(
  latencies: Float64Array,
  statuses: { ok: number; refused: number; failed: number },
  seconds: number,
) {
  const sorted = latencies.subarray(0, statuses.ok).toSorted();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return {
    acked: statuses.ok,
    refused: statuses.refused,
    failed: statuses.failed,
    seconds,
    perSecond: statuses.ok / seconds,
    p50: at(0.5),
    p99: at(0.99),
    p999: at(0.999),
    max: at(1),
  };
}

/** Each connection sends its next request when the last one was answered: shows what the server can do at most. */
export async function closedLoop(
  port: number,
  requests: readonly Buffer[],
  input: { connections: number; seconds: number },
): Promise<LoadResult> {
  const latencies = new Float64Array(requests.length);
  const statuses = { ok: 0, refused: 0, failed: 0 };
  let next = 0;
  let waiting = 0;
  let end = 0;
  let finish: () => void = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const sendNext = (connection: Connection) => {
    const now = performance.now();
    const request = requests[next];
    if (now >= end || request === undefined) {
      if (waiting === 0) finish();
      return;
    }
    next += 1;
    waiting += 1;
    connection.send(request, now);
  };
  const connections = await Promise.all(
    Array.from({ length: input.connections }, () =>
      open(port, (connection) => (status, ms) => {
        waiting -= 1;
        if (status === 200) latencies[statuses.ok++] = ms;
        else if (status === 0) statuses.failed += 1;
        else statuses.refused += 1;
        if (status === 0) {
          if (waiting === 0) finish();
        } else sendNext(connection);
      }),
    ),
  );
  const began = performance.now();
  end = began + input.seconds * 1_000;
  for (const connection of connections) sendNext(connection);
  await finished;
  const seconds = (performance.now() - began) / 1_000;
  if (next === requests.length) throw new Error(`the ${requests.length} requests made were too few for the time`);
  for (const connection of connections) connection.close();
  return summarize(latencies, statuses, seconds);
}

/**
 * Requests are due at a fixed rate whether the server keeps up or not, and each latency counts from when it was due:
 * a stall shows in every request behind it, as it would to the provider.
 */
export async function openLoop(
  port: number,
  requests: readonly Buffer[],
  input: { connections: number; perSecond: number },
): Promise<LoadResult> {
  const latencies = new Float64Array(requests.length);
  const statuses = { ok: 0, refused: 0, failed: 0 };
  const idle: Connection[] = [];
  const due: number[] = [];
  let sent = 0;
  let finish: () => void = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const pump = () => {
    while (idle.length > 0 && sent < due.length) {
      const connection = idle.pop() as Connection;
      connection.send(requests[sent] as Buffer, due[sent] as number);
      sent += 1;
    }
  };
  const connections = await Promise.all(
    Array.from({ length: input.connections }, () =>
      open(port, (connection) => (status, ms) => {
        if (status === 200) latencies[statuses.ok++] = ms;
        else if (status === 0) statuses.failed += 1;
        else statuses.refused += 1;
        if (status !== 0) idle.push(connection);
        pump();
        if (statuses.ok + statuses.refused + statuses.failed >= requests.length) finish();
      }),
    ),
  );
  idle.push(...connections);
  const began = performance.now();
  const interval = 1_000 / input.perSecond;
  const ticker = setInterval(() => {
    const until = Math.min(requests.length, Math.floor((performance.now() - began) / interval));
    while (due.length < until) due.push(began + (due.length + 1) * interval);
    pump();
  }, 1);
  await finished;
  clearInterval(ticker);
  const seconds = (performance.now() - began) / 1_000;
  for (const connection of connections) connection.close();
  return summarize(latencies, statuses, seconds);
}
