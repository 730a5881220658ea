/** The worker with a short lease and without its queues, so that only the handlers of events are under the knife. */
import { loadSettings } from '#platform/config/index.ts';
import { runMain } from '#platform/lifecycle/index.ts';
import { workerHandlers } from '../../services/worker/handlers.ts';
import { startWorker } from '../../services/worker/main.ts';

await runMain(() =>
  startWorker({
    settings: loadSettings('worker'),
    leaseMs: 2_000,
    handlers: (deps) => ({ ...workerHandlers(deps), queues: [] }),
  }),
);
