import type { LoadTarget } from '../../support/load.ts';
import { secretValue } from './kube-secret.ts';
import { sql } from './postgres.ts';
import { clusterSettings } from './settings.ts';
import { startTraffic, type Traffic } from './traffic.ts';
import { HOSTS } from './values.ts';

/** The ingress, asked for one of its host names. */
export function ingressTarget(name: string): LoadTarget {
  const url = new URL(clusterSettings().ingress);
  return { host: url.hostname, port: Number(url.port || 80), name };
}

/** 200 requests and 50 signed webhooks a second from outside, through the ingress, for about `seconds`. */
export async function clusterTraffic(
  seconds: number,
  rates: { requestsPerSecond?: number; webhooksPerSecond?: number } = {},
): Promise<Traffic> {
  const { load } = clusterSettings();
  return startTraffic({
    target: ingressTarget(HOSTS.api),
    sandbox: ingressTarget(HOSTS.sandbox),
    webhookSecret: await secretValue('STRIPE_WEBHOOK_SECRET'),
    sql,
    seconds,
    requestsPerSecond: (rates.requestsPerSecond ?? 200) * load,
    webhooksPerSecond: (rates.webhooksPerSecond ?? 50) * load,
  });
}
