/**
 * Turns single rows into a few large INSERTs without a timer: a batch leaves when a slot is free, so under light load
 * a row waits for nothing, and under heavy load the batches grow by themselves.
 */

/** What became of a row. Only `stored` may be acknowledged. */
export type Outcome =
  | 'stored'
  /** The database refused this very row; its neighbours are stored. */
  | 'unstorable'
  /** The database did not confirm it. It may be stored all the same: the provider sends again, the key decides. */
  | 'unconfirmed'
  /** Waited so long that the provider has given up by now, or nearly. */
  | 'too_old'
  | 'queue_full';

export type BatcherInput<Row> = {
  /** Stores all rows, durably, or throws with none of them stored for certain. */
  insert(rows: readonly Row[]): Promise<void>;
  /** Total order over keys, the same in every process: two batches that share keys must lock them in one order. */
  compare(a: Row, b: Row): number;
  /** Bytes of memory that a row holds. */
  sizeOf(row: Row): number;
  /** Whether the error is about the data, so that a smaller batch may pass. */
  isDataError(error: unknown): boolean;
  /** Monotonic milliseconds. */
  nowMs(): number;
  onBatch?(batch: { rows: number; seconds: number; error?: unknown }): void;
  limits?: Partial<BatchLimits>;
};

export type BatchLimits = {
  maxRows: number;
  maxBytes: number;
  /** Batches in flight: the second fills while the first commits; a third would only split them smaller. */
  slots: number;
  queueRows: number;
  queueBytes: number;
  maxWaitMs: number;
};

export const BATCH_LIMITS: BatchLimits = {
  maxRows: 256,
  maxBytes: 4 * 1024 * 1024,
  slots: 2,
  // At 10,000 rows a second the queue is less than half a second deep; beyond that the database is the trouble.
  queueRows: 4_096,
  queueBytes: 48 * 1024 * 1024,
  // Providers wait 10 to 30 s. An answer after that is work done twice.
  maxWaitMs: 5_000,
};

type Waiting<Row> = { row: Row; size: number; since: number; done: (outcome: Outcome) => void };

export class Batcher<Row> {
  readonly #input: BatcherInput<Row>;
  readonly #limits: BatchLimits;
  #queue: Waiting<Row>[] = [];
  #queueBytes = 0;
  #inFlight = 0;
  #scheduled = false;
  #idle: (() => void)[] = [];

  constructor(input: BatcherInput<Row>) {
    this.#input = input;
    this.#limits = { ...BATCH_LIMITS, ...input.limits };
  }

  /** Rows waiting, without the ones in flight. */
  get depth(): number {
    return this.#queue.length;
  }

  /** Calls `done` exactly once. Never throws. */
  submit(row: Row, done: (outcome: Outcome) => void): void {
    const size = this.#input.sizeOf(row);
    if (this.#queue.length >= this.#limits.queueRows || this.#queueBytes + size > this.#limits.queueBytes) {
      done('queue_full');
      return;
    }
    this.#queue.push({ row, size, since: this.#input.nowMs(), done });
    this.#queueBytes += size;
    this.#schedule();
  }

  /** Resolves when nothing is waiting or in flight. */
  async drain(): Promise<void> {
    if (this.#queue.length === 0 && this.#inFlight === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= this.#limits.slots || this.#queue.length === 0) return;
    this.#scheduled = true;
    // After this turn of the event loop: the requests that arrived in the same turn share the first batch.
    setImmediate(() => {
      this.#scheduled = false;
      while (this.#inFlight < this.#limits.slots) {
        const batch = this.#take();
        if (batch.length === 0) break;
        void this.#send(batch);
      }
      this.#settleIdle();
    });
  }

  #take(): Waiting<Row>[] {
    const { maxRows, maxBytes, maxWaitMs } = this.#limits;
    const oldest = this.#input.nowMs() - maxWaitMs;
    const batch: Waiting<Row>[] = [];
    let bytes = 0;
    let taken = 0;
    for (const waiting of this.#queue) {
      const tooOld = waiting.since < oldest;
      if (!tooOld && (batch.length === maxRows || (batch.length > 0 && bytes + waiting.size > maxBytes))) break;
      taken += 1;
      this.#queueBytes -= waiting.size;
      if (tooOld) {
        waiting.done('too_old');
      } else {
        bytes += waiting.size;
        batch.push(waiting);
      }
    }
    this.#queue = taken === this.#queue.length ? [] : this.#queue.slice(taken);
    return batch;
  }

  async #send(batch: Waiting<Row>[]): Promise<void> {
    this.#inFlight += 1;
    batch.sort((a, b) => this.#input.compare(a.row, b.row));
    await this.#store(batch);
    this.#inFlight -= 1;
    this.#schedule();
    this.#settleIdle();
  }

  /** Never rejects. On a data error the batch is halved until the poisoned row stands alone. */
  async #store(batch: Waiting<Row>[]): Promise<void> {
    const started = this.#input.nowMs();
    try {
      await this.#input.insert(batch.map((waiting) => waiting.row));
    } catch (error) {
      this.#input.onBatch?.({ rows: batch.length, seconds: (this.#input.nowMs() - started) / 1_000, error });
      if (!this.#input.isDataError(error)) return finish(batch, 'unconfirmed');
      if (batch.length === 1) return finish(batch, 'unstorable');
      const middle = batch.length >> 1;
      await this.#store(batch.slice(0, middle));
      await this.#store(batch.slice(middle));
      return;
    }
    this.#input.onBatch?.({ rows: batch.length, seconds: (this.#input.nowMs() - started) / 1_000 });
    finish(batch, 'stored');
  }

  #settleIdle(): void {
    if (this.#queue.length > 0 || this.#inFlight > 0) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }
}

function finish<Row>(batch: Waiting<Row>[], outcome: Outcome): void {
  for (const waiting of batch) waiting.done(outcome);
}
