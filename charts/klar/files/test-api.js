// `helm test`: the api is ready, answers what it documents, and keeps its metrics off the public port.
import { setTimeout as delay } from 'node:timers/promises';

async function status(path) {
  const response = await fetch(`${process.env.API_URL}${path}`, { signal: AbortSignal.timeout(15_000) });
  await response.arrayBuffer();
  return response.status;
}

for (const [what, path, wanted] of [
  ['the api is ready', '/api/ready', 200],
  ['the document of the API', '/api/openapi.json', 200],
  ['nobody is logged in without a token', '/api/me', 401],
  ['no metrics on the public port', '/metrics', 404],
]) {
  for (let attempt = 1; ; attempt += 1) {
    const got = await status(path).catch((error) => `no answer (${error.cause?.code ?? error.name})`);
    if (got !== wanted && attempt < 60 && (got === 503 || typeof got === 'string')) {
      await delay(1000);
      continue;
    }
    process.stdout.write(`${got === wanted ? 'ok  ' : 'FAIL'}  ${what}: ${got}\n`);
    if (got !== wanted) process.exit(1);
    break;
  }
}
