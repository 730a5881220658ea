/** The worker with one handler whose effect would show if it were made twice: an audit row each time. */
import { loadSettings } from '#platform/config/index.ts';
import { runMain } from '#platform/lifecycle/index.ts';
import { startWorker } from '../../services/worker/main.ts';
import { countingHandler } from '../integration/webhooks/rig.ts';

await runMain(() =>
  startWorker({
    settings: loadSettings('worker'),
    leaseMs: 4_000,
    handlers: () => ({ events: [countingHandler()], queues: [] }),
  }),
);
