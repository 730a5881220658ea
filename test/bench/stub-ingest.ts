/** webhook-ingest with its store stubbed: what HTTP, signature and batching cost alone (H). */
import { systemClock } from '#platform/clock/index.ts';
import { listen } from '#platform/http/listener.ts';
import { createLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { createIngestListener } from '../../services/webhook-ingest/app.ts';
import { SECRET } from './requests.ts';

const listener = createIngestListener({
  secrets: () => [{ value: SECRET, generation: 'bench' }],
  insert: async () => {},
  clock: systemClock,
  log: createLogger({ process: 'bench', level: 'error' }),
  metrics: createMetrics(),
});
await listen(listener, { port: Number(process.argv[2]) });
process.once('SIGTERM', () => process.exit(0));
