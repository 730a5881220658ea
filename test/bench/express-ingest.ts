/** What most people write: express, the same check of the signature, one INSERT a request, 200 after it. */
import express from 'express';
import pg from 'pg';
import { newId } from '#platform/ids/index.ts';
import { stripe } from '../../services/webhook-ingest/verify/stripe.ts';
import { PATH, SECRET } from './requests.ts';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 20 });
const app = express();
const secrets = [{ value: SECRET, generation: 'bench' }];
const INSERT = {
  name: 'insert_event',
  text: `insert into inbox.events (id, provider, account, event_id, type, livemode, raw, received_at, verdict)
         values ($1, 'stripe', $2, $3, $4, $5, $6, $7, $8) on conflict do nothing`,
};

app.post(PATH, express.raw({ type: '*/*', limit: '1mb' }), async (request, response) => {
  const now = new Date();
  const verified = stripe.verify({ headers: request.headers, body: request.body, secrets, nowMs: now.getTime() });
  if (!verified.ok) {
    response.status(400).json({ error: verified.reason });
    return;
  }
  const { account, eventId, type, livemode } = verified.key;
  await pool.query({
    ...INSERT,
    values: [newId('evt'), account, eventId, type, livemode, request.body, now.toISOString(), verified.generation],
  });
  response.json({ received: true });
});
app.listen(Number(process.argv[2]));
