// `helm test`: an event signed with the real secret, sent to webhook-ingest as the provider sends it. It is stored once
// under a type that no handler takes, so it has no effect beyond its row in the inbox.
import { createHmac, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const url = `${process.env.INGEST_URL}/api/billing/stripe/webhook`;
const secret = readFileSync('/etc/klar/secrets/STRIPE_WEBHOOK_SECRET/current', 'utf8').replace(/\r?\n$/, '');
const now = () => Math.floor(Date.now() / 1000);
const body = JSON.stringify({
  id: `evt_helmtest_${randomBytes(9).toString('hex')}`,
  object: 'event',
  type: 'klar.helm_test',
  created: now(),
  livemode: false,
  data: { object: { id: 'helm_test', object: 'helm_test' } },
});

async function send(key) {
  const at = now();
  const signature = createHmac('sha256', key).update(`${at}.${body}`).digest('hex');
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'stripe-signature': `t=${at},v1=${signature}` },
    body,
    signal: AbortSignal.timeout(15_000),
  });
  await response.arrayBuffer();
  return response.status;
}

async function expectAnswer(what, key, wanted) {
  // 503 and a refused connection are what a provider repeats, too.
  for (let attempt = 1; ; attempt += 1) {
    const status = await send(key).catch((error) => `no answer (${error.cause?.code ?? error.name})`);
    const later = status === 503 || typeof status === 'string';
    if (later && attempt < 30) {
      await delay(1000);
      continue;
    }
    process.stdout.write(`${status === wanted ? 'ok  ' : 'FAIL'}  ${what}: ${status}\n`);
    if (status !== wanted) process.exit(1);
    return;
  }
}

await expectAnswer('a signed event is stored', secret, 200);
await expectAnswer('the same event once more is acknowledged', secret, 200);
await expectAnswer('an event signed with another secret is refused', 'whsec_another', 400);
